import json

from django.core.cache import cache
from django.core.paginator import Paginator
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from . import orders
from .models import Order, Product

RECENT_SEARCHES = []


@require_GET
def healthz(request):
    return HttpResponse("ok", content_type="text/plain")


@require_GET
def product_list(request):
    products = Product.objects.all()
    category = request.GET.get("category")
    if category:
        products = products.filter(category__slug=category)
    page = Paginator(products, 24).get_page(request.GET.get("page"))
    rows = [
        {"id": p.id, "name": p.name, "price": p.price, "category": p.category.name} for p in page
    ]
    return render(request, "shop/product_list.html", {"page": page, "rows": rows})


@require_GET
def product_detail(request, product_id):
    key = f"product:{product_id}"
    product = cache.get(key)
    if product is None:
        product = get_object_or_404(Product, pk=product_id)
        cache.set(key, product, 60)
    return render(
        request,
        "shop/product_detail.html",
        {"product": product, "category": product.category, "in_stock": product.stock > 0},
    )


@require_GET
def search(request):
    query = request.GET.get("q", "")
    page_size = int(request.GET.get("page_size", 100))
    products = list(Product.objects.filter(name__icontains=query)[:page_size])
    RECENT_SEARCHES.append({"query": query, "products": products})
    return JsonResponse(
        {
            "query": query,
            "products": [{"id": p.id, "name": p.name, "price": str(p.price)} for p in products],
            "recent": [s["query"] for s in RECENT_SEARCHES[-5:]],
            "searches": len(RECENT_SEARCHES),
        }
    )


@require_GET
def cart(request):
    return JsonResponse({"cart": request.session.get("cart", {})})


@csrf_exempt
@require_POST
def add_to_cart(request):
    body = json.loads(request.body)
    product = get_object_or_404(Product, pk=body["product"])
    items = request.session.setdefault("cart", {})
    items[str(product.id)] = items.get(str(product.id), 0) + int(body.get("quantity", 1))
    request.session.modified = True
    return JsonResponse({"cart": items})


@csrf_exempt
@require_POST
def create_order(request):
    body = json.loads(request.body)
    quantities = body.get("products") or request.session.pop("cart", {})
    if isinstance(quantities, list):
        quantities = {product: 1 for product in quantities}
    quantities = {int(product): int(quantity) for product, quantity in quantities.items()}
    if not quantities:
        return JsonResponse({"error": "no products"}, status=400)
    order = orders.place(body["email"], quantities)
    return JsonResponse({"id": order.id, "total": str(order.total)}, status=201)


@require_GET
def order_detail(request, order_id):
    order = get_object_or_404(Order, pk=order_id)
    return JsonResponse(
        {
            "id": order.id,
            "email": order.email,
            "total": str(order.total),
            "mailed_at": order.mailed_at,
        }
    )
