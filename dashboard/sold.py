"""Which models a page may offer: sold at this shop, and served by somebody we hold a credential of.

Promise: the same few rows for snippets, guides and the playground, so that what a page names can be called.
"""

from django.db.models import QuerySet

from accounts.models import Storefront
from gateway.models import AIModel
from gateway.models.catalogue import Purpose


def models(storefront: Storefront | None, purpose: Purpose) -> "QuerySet[AIModel]":
    """Models of one purpose, real ones before the sandbox's."""
    sold = AIModel.objects.filter(
        is_active=True, purpose=purpose, routes__is_active=True, routes__provider__credentials__is_active=True
    )
    if storefront is not None:
        sold = sold.exclude(hidden_in=storefront)
    return sold.distinct().order_by("is_sandbox", "slug")


def chat_models(storefront: Storefront | None) -> "QuerySet[AIModel]":
    """Those to talk with."""
    return models(storefront, Purpose.CHAT)


def model_to_try(storefront: Storefront | None, purpose: Purpose = Purpose.CHAT, otherwise: str = "model-name") -> str:
    """A model that a first call can name; a placeholder while nothing is sold."""
    return models(storefront, purpose).values_list("slug", flat=True).first() or otherwise
