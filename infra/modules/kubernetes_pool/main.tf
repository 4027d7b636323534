# What Prefect asks Kubernetes for when a run comes: the worker's own template with the values of this pool as its
# defaults. Nothing is made here, so that no provider is needed; the machines are the cluster's, which may start them from
# zero for the pod that waits for one.

locals {
  standard = jsondecode(file("${path.module}/../../templates/kubernetes.json"))
  job      = local.standard.job_configuration.job_manifest
  pod      = local.job.spec.template.spec
  first    = local.pod.containers[0]

  # What a process needs besides its image: the root is read-only, and the image's user has no home.
  environment = merge(
    {
      DO_NOT_TRACK  = "1"
      HOME          = "/tmp"
      LOOPLINE_HOME = "/tmp/loopline"
      PREFECT_HOME  = "/tmp/prefect"
      USER          = "loopline"
    },
    var.environment,
  )

  defaults = {
    namespace                 = var.namespace
    image                     = var.image
    service_account_name      = var.service_account
    env                       = local.environment
    cpu_request               = var.cpu
    memory_request            = var.memory
    memory_limit              = var.memory
    backoff_limit             = var.backoff_limit
    finished_job_ttl          = var.finished_job_ttl_seconds
    pod_watch_timeout_seconds = var.pod_watch_timeout_seconds
  }

  # Not among the worker's own.
  ours = merge(
    {
      node_selector = {
        title       = "Node selector"
        description = "Labels of the machines that will do."
        type        = "object"
        default     = var.node_selector
      }
      tolerations = {
        title       = "Tolerations"
        description = "Taints of machines that a run may stand on."
        type        = "array"
        items       = { type = "object" }
        default     = [for one in var.tolerations : { for name, value in one : name => value if value != null }]
      }
    },
    { for name in local.gpus : name => {
      title       = "GPUs"
      description = "Of one machine, for one run."
      type        = "integer"
      default     = var.gpu_count
      enum        = [1, 2, 4, 8]
    } },
  )

  gpus = var.gpu_count > 0 ? ["gpu_count"] : []

  container = merge(local.first, {
    envFrom = [for name in var.secret_name[*] : { secretRef = { name = name } }]
    resources = merge(local.first.resources, {
      limits = merge(local.first.resources.limits, { for name in local.gpus : "nvidia.com/gpu" => "{{ ${name} }}" })
    })
    securityContext = {
      allowPrivilegeEscalation = false
      readOnlyRootFilesystem   = true
      capabilities             = { drop = ["ALL"] }
    }
    volumeMounts = [{ name = "tmp", mountPath = "/tmp" }, { name = "memory", mountPath = "/dev/shm" }]
  })

  template = {
    job_configuration = merge(local.standard.job_configuration, {
      job_manifest = merge(local.job, {
        spec = merge(local.job.spec, {
          template = {
            spec = merge(local.pod, {
              containers                    = [local.container]
              nodeSelector                  = "{{ node_selector }}"
              tolerations                   = "{{ tolerations }}"
              automountServiceAccountToken  = false
              terminationGracePeriodSeconds = 110 # to write a checkpoint, of the 120 that AWS' spot machines give
              securityContext = {
                runAsNonRoot   = true
                runAsUser      = 10001
                runAsGroup     = 10001
                fsGroup        = 10001
                seccompProfile = { type = "RuntimeDefault" }
              }
              volumes = [
                { name = "tmp", emptyDir = { sizeLimit = "${var.disk_gb}G" } },
                { name = "memory", emptyDir = { medium = "Memory", sizeLimit = "1Gi" } }, # of processes that bring batches
              ]
            })
          }
        })
      })
    })
    variables = merge(local.standard.variables, {
      properties = merge(
        {
          for name, property in local.standard.variables.properties :
          name => try(merge(property, { default = local.defaults[name] }), property)
        },
        local.ours,
      )
    })
  }
}
