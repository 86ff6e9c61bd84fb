output "kms_key" {
  description = "The key, once the agents may use it."
  value       = var.kms_key

  depends_on = [google_kms_crypto_key_iam_member.this]
}
