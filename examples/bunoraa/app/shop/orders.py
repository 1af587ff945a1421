from django.db import transaction

from .models import Order, OrderLine, Product
from .tasks import send_order_mail


def place(email, quantities):
    with transaction.atomic():
        order = Order.objects.create(email=email)
        OrderLine.objects.bulk_create(
            OrderLine(order=order, product=product, quantity=quantities[product.id], price=product.price)
            for product in Product.objects.filter(pk__in=quantities)
        )
        transaction.on_commit(lambda: send_order_mail.delay(order.id))
    return order
