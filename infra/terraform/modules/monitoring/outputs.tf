output "notification_channels" {
  description = "Resource names of the channels that alerts go to."
  value       = local.channels
}
