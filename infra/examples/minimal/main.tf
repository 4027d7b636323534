# A store and a pool for runs without a GPU: what an evening's trial needs.

module "loopline" {
  source          = "../.."
  bucket          = var.bucket
  prefect_api_url = var.prefect_api_url
  registry_url    = var.registry_url
  release         = var.release
}
