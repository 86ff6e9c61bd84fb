output "names" {
  description = "Bucket names by what they hold."
  value = {
    images  = google_storage_bucket.images.name
    reports = google_storage_bucket.reports.name
    sheets  = google_storage_bucket.sheets.name
    uploads = google_storage_bucket.uploads.name
  }
}
