variable "name" {
  description = "Begins every name: 3 to 20 lower-case letters, digits and hyphens."
  type        = string
  default     = "loopline"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\"; 3 to 20 lower-case letters, digits and hyphens are allowed, beginning with a letter."
  }
}

variable "bucket" {
  description = "Name of the store's bucket, unique among all of AWS."
  type        = string
}

variable "prefect_api_url" {
  description = "Prefect's API, such as https://prefect.example.com/api."
  type        = string

  validation {
    condition     = can(regex("^https?://.+/api", var.prefect_api_url))
    error_message = "prefect_api_url is \"${var.prefect_api_url}\"; an address such as https://prefect.example.com/api is wanted."
  }
}

variable "registry_url" {
  description = "The git repository of dataset and model versions, without credentials."
  type        = string

  validation {
    condition     = !can(regex("://[^/]*:[^/]*@", var.registry_url))
    error_message = "registry_url holds a password; give git its credentials by a secret, as infra/README.md shows."
  }
}

variable "release" {
  description = "Tag of the images."
  type        = string

  validation {
    condition     = !contains(["", "latest"], var.release)
    error_message = "release is \"${var.release}\"; name the tag of one build, so that what ran can be run again."
  }
}

variable "secrets" {
  description = "Secrets of workers and runs, by environment variable, and what each is. Values are put in by hand."
  type        = map(string)
  default     = { PREFECT_API_AUTH_STRING = "user:password of the Prefect server" }

  validation {
    condition     = anytrue([for name in ["PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"] : contains(keys(var.secrets), name)])
    error_message = "secrets holds ${join(", ", keys(var.secrets))}; PREFECT_API_AUTH_STRING or, for Prefect Cloud, PREFECT_API_KEY is wanted, with which workers and runs sign in."
  }
}

variable "environment" {
  description = "More settings of workers and runs; no secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = !anytrue([for name in keys(var.environment) : can(regex("(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING)$", name))])
    error_message = "environment holds ${join(", ", [for name in keys(var.environment) : name if can(regex("(PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING)$", name))])}; name it in secrets, so that its value is in no state."
  }
}

variable "gpu" {
  description = "The GPU pool; null: none. most_machines is also how many runs it starts at once: your GPU quota."
  type = object({
    most_machines  = number
    instance_types = optional(list(string), ["g5.xlarge", "g6.xlarge", "g4dn.xlarge"])
    price          = optional(string, "spot")
  })
  default = null
}

variable "service" {
  description = "The released model's service; null: none. internal: of the network alone; callers: networks that reach it; least and most: tasks; secrets by environment variable, whose values are put in by hand."
  type = object({
    certificate_arn     = string
    release             = string
    internal            = optional(bool, true)
    callers             = optional(list(string))
    least               = optional(number, 2)
    most                = optional(number, 6)
    cpu_percent         = optional(number, 60)
    requests_per_minute = optional(number, 600)
    cpu                 = optional(number, 1024)
    memory_mb           = optional(number, 2048)
    environment         = optional(map(string), {})
    secrets             = optional(map(string), { LOOPLINE_SERVICE__KEY_HASHES = "sha256 of each API key, between commas; `loopline key` makes one" })
  })
  default = null

  validation {
    condition     = !contains(["", "latest"], try(var.service.release, "v1"))
    error_message = "release of the service is \"${try(var.service.release, "")}\"; name the tag of one build, so that what answered can answer again."
  }

  validation {
    condition     = var.service == null || var.zone_count >= 2
    error_message = "zone_count is ${var.zone_count}; the service's load balancer wants at least 2."
  }
}

variable "server" {
  description = "A Prefect server of your own, at prefect_api_url; null: there is one. machine: RDS's; is_doubled: a second one takes over, for twice the price."
  type = object({
    certificate_arn = string
    internal        = optional(bool, true)
    callers         = optional(list(string))
    cpu             = optional(number, 1024)
    memory_mb       = optional(number, 2048)
    machine         = optional(string, "db.t4g.small")
    is_doubled      = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.server == null || contains(keys(var.secrets), "PREFECT_API_AUTH_STRING")
    error_message = "secrets holds ${join(", ", keys(var.secrets))}; PREFECT_API_AUTH_STRING is wanted, which a server of your own asks for."
  }

  validation {
    condition     = var.server == null || var.zone_count >= 2
    error_message = "zone_count is ${var.zone_count}; the server's load balancer and its database want at least 2."
  }
}

variable "label_studio" {
  description = "A Label Studio of your own; null: none. url: where people find it; user: mail address of the first one; release: tag of its image; machine and is_doubled as of server."
  type = object({
    certificate_arn = string
    url             = string
    user            = string
    release         = optional(string, "1.23.2")
    internal        = optional(bool, true)
    callers         = optional(list(string))
    cpu             = optional(number, 1024)
    memory_mb       = optional(number, 4096)
    machine         = optional(string, "db.t4g.small")
    is_doubled      = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.label_studio == null || var.zone_count >= 2
    error_message = "zone_count is ${var.zone_count}; Label Studio's load balancer and its database want at least 2."
  }
}

variable "budget" {
  description = "What a month may cost, and who is told; null: no bound. When it is spent, no run is started any more."
  type        = object({ monthly_usd = number, email = string })
  default     = null
}

variable "cidr" {
  description = "Addresses of the network, a /16."
  type        = string
  default     = "10.42.0.0/16"
}

variable "zone_count" {
  description = "Availability zones, 1 to 4: more of them find GPU machines sooner."
  type        = number
  default     = 2
}

variable "capture_days" {
  description = "Days that captured traffic is kept."
  type        = number
  default     = 90
}

variable "disposable" {
  description = "Whether destroying deletes data, images and secrets at once. For trials only."
  type        = bool
  default     = false
}
