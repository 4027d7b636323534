# Work pools on a cluster that is there: one for runs without a GPU, one for those with. No provider, no state worth keeping;
# deployments/kubernetes/overlays/ brings its output to Prefect.

module "cpu_pool" {
  source      = "../../modules/kubernetes_pool"
  name        = "loopline-cpu"
  namespace   = var.namespace
  image       = var.image
  environment = local.environment
  most_runs   = 4
}

module "gpu_pool" {
  source        = "../../modules/kubernetes_pool"
  count         = var.gpu_quota > 0 ? 1 : 0
  name          = "loopline-gpu"
  namespace     = var.namespace
  image         = var.image
  environment   = merge(local.environment, { LOOPLINE_TRAIN__ACCELERATOR = "gpu" })
  most_runs     = var.gpu_quota
  gpu_count     = 1
  node_selector = var.gpu_nodes
  tolerations   = [{ key = "nvidia.com/gpu" }]
  cpu           = "3"
  memory        = "14Gi"
  disk_gb       = 100
}

locals {
  environment = merge(
    {
      LOOPLINE_STORE__ENDPOINT  = "aws"
      LOOPLINE_STORE__BUCKET    = var.bucket
      LOOPLINE_STORE__REGION    = var.region
      LOOPLINE_REGISTRY__URL    = var.registry_url
      LOOPLINE_PREFECT__API_URL = var.prefect_api_url
      LOOPLINE_PREFECT__POOL    = "loopline-cpu"
      PREFECT_API_URL           = var.prefect_api_url
    },
    var.gpu_quota == 0 ? {} : {
      LOOPLINE_PREFECT__GPU_POOL       = "loopline-gpu"
      LOOPLINE_PREFECT__GPU_DEPLOYMENT = "fit-model/gpu"
    },
  )
}
