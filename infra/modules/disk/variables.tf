variable "name" {
  description = "Name of everything of it."
  type        = string
}

variable "place" {
  description = "Where it is: the network and the key of everything at rest."
  type        = object({ vpc_id = string, private_subnet_ids = list(string), key_arn = string })
}

variable "client_group_id" {
  description = "Group of the containers that may reach it."
  type        = string
}

variable "user_id" {
  description = "As whom all is written, whoever the container says it is, 1 to 65534."
  type        = number

  validation {
    condition     = var.user_id >= 1 && var.user_id <= 65534
    error_message = "user_id is ${var.user_id}; 1 to 65534 are allowed."
  }
}
