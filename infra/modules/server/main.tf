# A Prefect server of your own: one task, since a second one's scheduler would do the same work, and its database.
# Behind a balancer with TLS though it is internal: each request carries what signs in.

locals {
  url = trimsuffix(var.url, "/api")

  # Prefect puts its address together from these, whatever characters the password has.
  database = {
    PREFECT_SERVER_DATABASE_DRIVER = "postgresql+asyncpg"
    PREFECT_SERVER_DATABASE_HOST   = module.postgres.address
    PREFECT_SERVER_DATABASE_PORT   = "5432"
    PREFECT_SERVER_DATABASE_NAME   = module.postgres.database
    PREFECT_SERVER_DATABASE_USER   = module.postgres.user
  }

  # RDS changes the password every week, and a container hears of it only when it starts: one that can't sign in any
  # more is replaced.
  signs_in = join("; ", [
    "import asyncio, asyncpg, os",
    "known = {name: os.environ['PREFECT_SERVER_DATABASE_' + name.upper()] for name in ('host', 'port', 'user', 'password')}",
    "asyncio.run(asyncpg.connect(database=os.environ['PREFECT_SERVER_DATABASE_NAME'], timeout=8, **known))",
  ])
}

module "web" {
  source         = "../web"
  name           = var.name
  place          = var.place
  door           = var.door
  image          = var.image
  image_arns     = var.image_arns
  command        = ["prefect", "server", "start", "--host", "0.0.0.0", "--port", "4200"]
  user           = "10001:10001"
  port           = 4200
  health_path    = "/api/health" # that of the server alone: a database that is away for a while is no reason to turn callers away
  health_command = ["CMD", "python", "-c", local.signs_in]
  start_seconds  = 300 # the first time, it makes its tables
  cpu            = var.cpu
  memory_mb      = var.memory_mb
  is_alone       = true
  disk           = merge(module.disk.disk, { path = "/data" })

  environment = merge(local.database, {
    HOME                                       = "/tmp"
    PREFECT_HOME                               = "/data"
    PREFECT_SERVER_ANALYTICS_ENABLED           = "false"
    PREFECT_SERVER_API_KEEPALIVE_TIMEOUT       = "60" # longer than the balancer, and than clients' 25 s
    PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED = "true"
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS        = local.url
    PREFECT_SERVER_UI_API_URL                  = var.url
    PREFECT_SERVER_UI_STATIC_DIRECTORY         = "/tmp/ui"
    PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT = "false"

    # Leases of concurrency slots outlive the task, on its disk: else a slot held while it is replaced is never freed.
    PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"
  })

  secrets = {
    PREFECT_SERVER_API_AUTH_STRING   = var.auth_string_arn
    PREFECT_SERVER_DATABASE_PASSWORD = module.postgres.password_from
  }
}

module "postgres" {
  source          = "../postgres"
  name            = var.name
  place           = var.place
  client_group_id = module.web.security_group_id
  database        = "prefect"
  machine         = var.machine
  is_doubled      = var.is_doubled
}

module "disk" {
  source          = "../disk"
  name            = var.name
  place           = var.place
  client_group_id = module.web.security_group_id
  user_id         = 10001
}
