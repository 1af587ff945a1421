from django.core.cache import cache
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from shop.models import Product

from .tasks import cache_key, score_product


@require_GET
def recommendations(request, product_id):
    get_object_or_404(Product, pk=product_id)
    scores = cache.get(cache_key(product_id))
    if scores is None:
        score_product.delay(product_id)
        return JsonResponse({"product": product_id, "status": "computing"}, status=202)
    return JsonResponse({"product": product_id, "status": "ready", "recommendations": scores})
