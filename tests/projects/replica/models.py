"""What a project keeps beside a code, and how its keys hold one."""

from django.db import models

from otpmail.models import Challenge, Delivery


class Order(models.Model):
    """Goes with its code. Its own reads go to the replica."""

    challenge = models.ForeignKey(Challenge, models.CASCADE, related_name="orders")

    def __str__(self) -> str:
        return f"order {self.pk}"


class Invoice(models.Model):
    """Keeps its code."""

    challenge = models.ForeignKey(Challenge, models.PROTECT)

    def __str__(self) -> str:
        return f"invoice {self.pk}"


class Dispute(models.Model):
    """Keeps its mail."""

    delivery = models.ForeignKey(Delivery, models.RESTRICT)

    def __str__(self) -> str:
        return f"dispute {self.pk}"


class Archived(models.Model):
    """Keeps its code, and Django does not know."""

    challenge = models.ForeignKey(Challenge, models.DO_NOTHING)

    def __str__(self) -> str:
        return f"archived {self.pk}"
