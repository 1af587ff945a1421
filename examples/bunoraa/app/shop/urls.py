from django.urls import path

from . import views

urlpatterns = [
    path("healthz", views.healthz),
    path("", views.product_list, name="product-list"),
    path("products/<int:product_id>/", views.product_detail, name="product-detail"),
    path("search/", views.search, name="search"),
    path("cart/", views.cart, name="cart"),
    path("cart/add/", views.add_to_cart, name="add-to-cart"),
    path("orders/", views.create_order, name="create-order"),
    path("orders/<int:order_id>/", views.order_detail, name="order-detail"),
]
