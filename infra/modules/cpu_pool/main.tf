# Runs without a GPU, on Fargate: nothing stands still, and nothing has to be started.

locals {
  standard = jsondecode(file("${path.module}/../../templates/ecs.json"))
  first    = local.standard.job_configuration.task_definition.containerDefinitions[0]

  defaults = merge(var.job, {
    launch_type    = "FARGATE"
    cpu            = var.cpu
    memory         = var.memory_mb
    container_name = "prefect"
  })

  template = {
    job_configuration = merge(local.standard.job_configuration, {
      task_definition = merge(local.standard.job_configuration.task_definition, {
        networkMode             = "awsvpc"
        requiresCompatibilities = ["FARGATE"]
        ephemeralStorage        = { sizeInGiB = var.disk_gb }
        containerDefinitions = [merge(local.first, {
          essential   = true
          stopTimeout = 110
          memory      = "{{ memory }}"
          secrets     = [for name, arn in var.secret_arns : { name = name, valueFrom = arn }]
        })]
      })
    })
    variables = merge(local.standard.variables, {
      properties = {
        for name, property in local.standard.variables.properties :
        name => try(merge(property, { default = local.defaults[name] }), property)
      }
    })
  }
}
