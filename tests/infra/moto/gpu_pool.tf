# moto tells the provider's default tags as the template's own.
resource "aws_launch_template" "machine" {
  lifecycle {
    ignore_changes = [tag_specifications]
  }
}
