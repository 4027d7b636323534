output "balancer" {
  description = "Address of the load balancer, for a CNAME or an alias of your name."
  value       = module.web.balancer
}
