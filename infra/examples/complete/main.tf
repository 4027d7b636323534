# Everything: GPU machines from zero, a bound on what a month costs, secrets for all that runs ask, and the service, a
# Prefect server and a Label Studio of your own.

module "loopline" {
  source          = "../.."
  name            = var.name
  bucket          = var.bucket
  prefect_api_url = var.prefect_api_url
  registry_url    = var.registry_url
  release         = var.release
  zone_count      = 3
  capture_days    = 30
  disposable      = var.disposable
  gpu             = { most_machines = var.most_machines, instance_types = ["g5.xlarge", "g6.xlarge", "g4dn.xlarge"] }
  budget          = var.budget
  service         = { certificate_arn = var.certificate_arn, release = var.service_release }
  server          = { certificate_arn = var.certificate_arn }
  label_studio    = { certificate_arn = var.certificate_arn, url = var.label_studio_url, user = var.label_studio_user }

  secrets = {
    PREFECT_API_AUTH_STRING        = "user:password of the Prefect server"
    LOOPLINE_COMET__API_KEY        = "Comet's key"
    LOOPLINE_LABEL_STUDIO__API_KEY = "Label Studio's personal token"
  }

  environment = { LOOPLINE_COMET__MODE = "online", LOOPLINE_TRAIN__PRECISION = "bf16-mixed" }
}
