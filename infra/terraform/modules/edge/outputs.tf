output "address" {
  description = "Where the A records of all host names lead."
  value       = google_compute_global_address.this.address
}

output "hosts" {
  description = "Host names that need an A record before the certificate can be made."
  value       = values(local.hosts)
}
