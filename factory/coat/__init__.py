"""Satori: the COAT grammar, rollouts, demonstrations, restarts, preferences, rewards, distillation."""
