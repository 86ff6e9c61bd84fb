output "names" {
  description = "Queue id to full name, projects/PROJECT/locations/REGION/queues/ID."
  value       = { for id, queue in google_cloud_tasks_queue.this : id => queue.id }
}
