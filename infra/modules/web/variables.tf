variable "name" {
  description = "Name of everything of it, at most 32 characters: a load balancer's is no longer."
  type        = string

  validation {
    condition     = length(var.name) <= 32
    error_message = "name is \"${var.name}\", ${length(var.name)} characters; at most 32 are allowed."
  }
}

variable "place" {
  description = "Where it is: the network, in at least two zones as a balancer wants; the cluster; where it writes; the key of everything at rest; whether it can be destroyed at once."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
    public_subnet_ids  = list(string)
    cluster            = object({ name = string, arn = string })
    log_group          = object({ name = string, arn = string })
    key_arn            = string
    disposable         = bool
  })

  validation {
    condition     = length(var.place.private_subnet_ids) >= 2
    error_message = "place has private subnets in ${length(var.place.private_subnet_ids)} zones; a load balancer wants at least 2: see zone_count."
  }
}

variable "door" {
  description = "Who comes in: the certificate of the balancer's name, in ACM of the same region; whether its addresses are private; the networks that may reach it."
  type        = object({ certificate_arn = string, internal = bool, callers = list(string) })

  validation {
    condition     = can(regex("^arn:[^:]+:acm:[^:]+:[0-9]{12}:certificate/.+$", var.door.certificate_arn))
    error_message = "certificate_arn is \"${var.door.certificate_arn}\"; an ARN such as arn:aws:acm:eu-central-1:123456789012:certificate/… is wanted."
  }

  validation {
    condition     = length(var.door.callers) > 0 && alltrue([for from in var.door.callers : can(cidrhost(from, 0))])
    error_message = "callers are \"${join(", ", var.door.callers)}\"; networks such as 10.42.0.0/16 are wanted, at least one."
  }
}

variable "image" {
  description = "Image, with its tag."
  type        = string

  validation {
    condition     = can(regex(":[^/:]+$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image is \"${var.image}\"; name the tag of one build, so that what ran can be run again."
  }
}

variable "image_arns" {
  description = "Repositories of ECR whose images may be fetched."
  type        = list(string)
}

variable "command" {
  description = "What is run; null: the image's own."
  type        = list(string)
  default     = null
}

variable "user" {
  description = "User and group in the container, such as 10001:10001; null: the image's own."
  type        = string
  default     = null
}

variable "is_read_only" {
  description = "Whether nothing is written but to /tmp and the disk."
  type        = bool
  default     = true
}

variable "tmp_mb" {
  description = "Of /tmp, 16 to 4096; it is a part of the memory."
  type        = number
  default     = 256

  validation {
    condition     = var.tmp_mb >= 16 && var.tmp_mb <= 4096
    error_message = "tmp_mb is ${var.tmp_mb}; 16 to 4096 are allowed."
  }
}

variable "disk" {
  description = "What outlives a container, and where it is; null: nothing."
  type        = object({ file_system_id = string, arn = string, access_point_id = string, access_point_arn = string, path = string })
  default     = null
}

variable "port" {
  description = "On which the container answers, 1024 to 65535."
  type        = number

  validation {
    condition     = var.port >= 1024 && var.port <= 65535
    error_message = "port is ${var.port}; 1024 to 65535 are allowed."
  }
}

variable "health_path" {
  description = "What the balancer asks to know whether a container can answer."
  type        = string
}

variable "health_command" {
  description = "What is run in the container to know whether it must be replaced; null: nothing."
  type        = list(string)
  default     = null
}

variable "start_seconds" {
  description = "Time that a container has to begin, 30 to 1800."
  type        = number
  default     = 180

  validation {
    condition     = var.start_seconds >= 30 && var.start_seconds <= 1800
    error_message = "start_seconds is ${var.start_seconds}; 30 to 1800 are allowed."
  }
}

variable "cpu" {
  description = "Of one task, 1024 a core: 256, 512, 1024, 2048, 4096, 8192 or 16384."
  type        = number

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu is ${var.cpu}; Fargate has 256, 512, 1024, 2048, 4096, 8192 and 16384."
  }
}

variable "memory_mb" {
  description = "Of one task, 512 to 122880; Fargate has steps for each cpu."
  type        = number

  validation {
    condition     = var.memory_mb >= 512 && var.memory_mb <= 122880
    error_message = "memory_mb is ${var.memory_mb}; 512 to 122880 are allowed."
  }
}

variable "least" {
  description = "Tasks that always run, 1 to 100."
  type        = number
  default     = 1

  validation {
    condition     = var.least >= 1 && var.least <= 100
    error_message = "least is ${var.least}; 1 to 100 are allowed."
  }
}

variable "most" {
  description = "Tasks that run at most, least to 100."
  type        = number
  default     = 1

  validation {
    condition     = var.most >= var.least && var.most <= 100
    error_message = "most is ${var.most}; ${var.least}, which is least, to 100 are allowed."
  }
}

variable "is_alone" {
  description = "Whether a new task begins only when the old one has ended: where two would do the same work."
  type        = bool
  default     = false
}

variable "cpu_percent" {
  description = "Load of a task beyond which another one begins, 10 to 90."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_percent >= 10 && var.cpu_percent <= 90
    error_message = "cpu_percent is ${var.cpu_percent}; 10 to 90 are allowed."
  }
}

variable "requests_per_minute" {
  description = "Requests to a task beyond which another one begins, 1 to 100000."
  type        = number
  default     = 600

  validation {
    condition     = var.requests_per_minute >= 1 && var.requests_per_minute <= 100000
    error_message = "requests_per_minute is ${var.requests_per_minute}; 1 to 100000 are allowed."
  }
}

variable "environment" {
  description = "Settings; no secret."
  type        = map(string)
}

variable "secrets" {
  description = "Where each secret is, by environment variable: an ARN, or ARN:KEY:: for a key of its JSON."
  type        = map(string)
}
