import os
import time

TABLE = {}


def warm_tax_table():
    """Fetches the tax rates of all regions. The service answers slowly at times."""
    time.sleep(float(os.environ.get("SHOP_WARMUP_SECONDS", "0")))
    for region in range(200):
        TABLE[region] = 0.05 + region % 20 / 100
