output "loopline" {
  description = "What follows from it: pools, addresses, names."
  value       = module.loopline
}
