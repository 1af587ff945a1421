import random

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction

from shop.models import Category, Order, OrderLine, Product

CATEGORIES = 50
PRODUCTS = 300
ORDERS = 1000
WORDS = (
    "handmade cotton jute clay brass woven natural dyed carved painted glazed soft strong light warm "
    "classic modern small large village river garden kitchen table wall lamp basket bowl scarf bag"
).split()


class Command(BaseCommand):
    help = "Creates the tables and fills an empty shop. Does nothing to a shop that has products."

    def handle(self, *args, **options):
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        with transaction.atomic():
            if not Product.objects.exists():
                self.fill(random.Random(42))
        self.stdout.write(
            f"{Category.objects.count()} categories, {Product.objects.count()} products, "
            f"{Order.objects.count()} orders"
        )

    def fill(self, rand):
        categories = Category.objects.bulk_create(
            Category(name=f"{rand.choice(WORDS).title()} {i}", slug=f"category-{i}")
            for i in range(1, CATEGORIES + 1)
        )
        products = Product.objects.bulk_create(
            Product(
                category=categories[i % CATEGORIES],
                name=" ".join(rand.choices(WORDS, k=3)).title(),
                sku=f"BUN-{i:05}",
                description=" ".join(rand.choices(WORDS, k=400)),
                price=rand.randrange(100, 20000) / 100,
                stock=rand.randrange(0, 200),
            )
            for i in range(1, PRODUCTS + 1)
        )
        orders = Order.objects.bulk_create(
            Order(email=f"customer{rand.randrange(200)}@bunoraa.example") for _ in range(ORDERS)
        )
        OrderLine.objects.bulk_create(
            OrderLine(order=order, product=product, quantity=rand.randint(1, 3), price=product.price)
            for order in orders
            for product in rand.sample(products, rand.randint(1, 5))
        )
