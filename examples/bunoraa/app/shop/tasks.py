import logging
import time

from celery import shared_task
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils import timezone

from .models import Order, Product

logger = logging.getLogger(__name__)

STOCK_HISTORY = []


@shared_task(queue="emails")
def send_order_mail(order_id, seconds=0.05):
    order = Order.objects.get(pk=order_id)
    lines = order.lines.select_related("product")
    text = render_to_string("shop/order_mail.txt", {"order": order, "lines": lines})
    time.sleep(seconds)  # the mail server takes its time
    send_mail(f"Your order {order.id}", text, None, [order.email])
    Order.objects.filter(pk=order.id).update(mailed_at=timezone.now())
    logger.info("Sent the mail of order %s", order.id)


@shared_task
def sync_stock(n=100, keep_kib=256):
    """Compares our stock with the supplier's and keeps the answers, to see later what changed."""
    answer = bytearray(keep_kib * 1024)
    answer[::1024] = b"x" * len(answer[::1024])
    stock = dict(Product.objects.values_list("sku", "stock")[:n])
    STOCK_HISTORY.append({"at": timezone.now(), "stock": stock, "answer": answer})
    logger.info("Synchronised %s products, %s answers kept", len(stock), len(STOCK_HISTORY))


@shared_task
def export_catalogue(mib=100):
    """Builds the whole feed in memory, then writes it out."""
    rows = [f"{p.sku};{p.name};{p.price};{p.description}" for p in Product.objects.all()] or [""]
    page = "\n".join(rows).encode() + b"\n"
    feed = bytearray()
    while len(feed) < mib * 1024 * 1024:
        feed += page
    with open("/dev/null", "wb") as output:
        output.write(feed)
    logger.info("Exported %s bytes", len(feed))


@shared_task
def import_prices(seconds=20):
    """Goes through the supplier's price list, a page a second."""
    started = time.monotonic()
    pages = 0
    while (left := seconds - (time.monotonic() - started)) > 0:
        time.sleep(min(1, left))
        pages += 1
        logger.debug("Imported page %s of the price list", pages)
