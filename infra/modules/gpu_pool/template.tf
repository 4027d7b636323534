# What Prefect asks ECS for when a run comes: the worker's own template with the values of this pool as its defaults.

locals {
  standard = jsondecode(file("${path.module}/../../templates/ecs.json"))
  first    = local.standard.job_configuration.task_definition.containerDefinitions[0]

  defaults = merge(var.job, {
    launch_type    = "EC2"
    cpu            = var.cpu
    memory         = var.memory_mb
    container_name = "prefect"
  })

  # Not among the worker's own: numbers that ECS wants as words, and a provider to choose.
  ours = {
    gpu_count = {
      title       = "GPUs"
      description = "Of the machine, for one run."
      type        = "string"
      default     = tostring(var.gpu_count)
      enum        = ["1", "2", "4", "8"]
    }
    capacity_provider = {
      title       = "Price"
      description = "Spot machines cost a third and may be taken away; on-demand ones stay."
      type        = "string"
      default     = aws_ecs_capacity_provider.machines[var.price].name
      enum        = [for provider in aws_ecs_capacity_provider.machines : provider.name]
    }
  }

  template = {
    job_configuration = merge(local.standard.job_configuration, {
      task_run_request = merge(local.standard.job_configuration.task_run_request, {
        capacityProviderStrategy = [{ capacityProvider = "{{ capacity_provider }}", weight = 1, base = 0 }]
      })
      task_definition = merge(local.standard.job_configuration.task_definition, {
        networkMode             = "awsvpc"
        requiresCompatibilities = ["EC2"]
        containerDefinitions = [merge(local.first, {
          essential            = true
          stopTimeout          = 110 # seconds to write a checkpoint, of the 120 that spot gives
          secrets              = [for name, arn in var.secret_arns : { name = name, valueFrom = arn }]
          resourceRequirements = [{ type = "GPU", value = "{{ gpu_count }}" }]
        })]
      })
    })
    variables = merge(local.standard.variables, {
      properties = merge(
        {
          for name, property in local.standard.variables.properties :
          name => try(merge(property, { default = local.defaults[name] }), property)
          if name != "capacity_provider_strategy"
        },
        local.ours,
      )
    })
  }
}
