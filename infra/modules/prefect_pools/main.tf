# The pools on a Prefect server by Terraform itself, for those who would rather have them in a state than brought by the
# workers. Apart from the rest, since its provider wants the server's password or key where Terraform runs:
#
#   module "pools" {
#     source     = "./modules/prefect_pools"
#     work_pools = module.loopline.work_pools
#   }
#
# The provider reads PREFECT_API_URL, and PREFECT_BASIC_AUTH_KEY or PREFECT_API_KEY.

resource "prefect_work_pool" "this" {
  for_each = { for pool in var.work_pools : pool.name => pool }

  name              = each.key
  type              = each.value.type
  base_job_template = each.value.base_job_template
  concurrency_limit = each.value.concurrency_limit

  lifecycle {
    ignore_changes = [paused] # people pause a pool, and a budget that is spent
  }
}
