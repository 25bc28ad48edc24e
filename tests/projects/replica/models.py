"""What a project keeps beside a code."""

from django.db import models

from otpmail.models import Challenge


class Order(models.Model):
    """Its own reads go to the replica."""

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="orders")

    def __str__(self) -> str:
        return f"order {self.pk}"
