output "connection_name" {
  description = "PROJECT:REGION:INSTANCE; the socket folder is /cloudsql/ followed by it."
  value       = google_sql_database_instance.this.connection_name
}

output "instance" {
  description = "Name of the instance."
  value       = google_sql_database_instance.this.name
}

output "max_connections" {
  description = "PostgreSQL's max_connections."
  value       = var.max_connections
}
