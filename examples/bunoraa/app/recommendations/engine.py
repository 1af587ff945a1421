"""Matrix factorisation: customers and products that buy each other lie close together.

torch is large and most processes never need it, so it is imported where it is used.
"""

import random
from functools import lru_cache

from shop.models import OrderLine

DIMENSIONS = 32
LEARNING_RATE = 0.02


class Model:
    def __init__(self, products, vectors, loss):
        self.products = products
        self.vectors = vectors
        self.loss = loss

    def similar(self, product_id, count=10):
        import torch

        if product_id not in self.products:
            return []
        scores = self.vectors @ self.vectors[self.products.index(product_id)]
        best = torch.topk(scores, min(count + 1, len(self.products)))
        pairs = zip(best.indices.tolist(), best.values.tolist())
        found = [
            {"product": self.products[i], "score": round(score, 4)}
            for i, score in pairs
            if self.products[i] != product_id
        ]
        return found[:count]


@lru_cache(maxsize=1)
def get_model(epochs=40, rows=5000):
    import torch

    torch.manual_seed(42)
    customers, products, pairs = interactions(rows)
    if not pairs:
        return Model([], torch.zeros(0, DIMENSIONS), 0.0)
    users = torch.randn(len(customers), DIMENSIONS, requires_grad=True)
    items = torch.randn(len(products), DIMENSIONS, requires_grad=True)
    user, item = torch.tensor(pairs).T
    loss = 0.0
    for _ in range(epochs):
        other = torch.randint(len(products), (len(pairs),))
        preference = (users[user] * (items[item] - items[other])).sum(dim=1)
        total = -torch.nn.functional.logsigmoid(preference).sum()
        total.backward()
        loss = total.item() / len(pairs)
        with torch.no_grad():
            for weights in (users, items):
                weights -= LEARNING_RATE * weights.grad
                weights.grad.zero_()
    vectors = torch.nn.functional.normalize(items.detach(), dim=1)
    return Model(products, vectors, loss)


def interactions(rows):
    """Returns the customers, the products and `rows` pairs of their positions, drawn from the orders."""
    bought = list(OrderLine.objects.order_by("id").values_list("order__email", "product_id"))
    customers = sorted({email for email, _ in bought})
    products = sorted({product for _, product in bought})
    if not bought:
        return customers, products, []
    user = {email: i for i, email in enumerate(customers)}
    item = {product: i for i, product in enumerate(products)}
    drawn = random.Random(42).choices(bought, k=rows)
    return customers, products, [(user[email], item[product]) for email, product in drawn]
