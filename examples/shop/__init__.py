"""A small shop, as shops are: slow where nobody looked, personal where it must be.

``shop.app:app`` is the shop, a Starlette app on SQLite; ``shop.pricing:app`` the partner service that it
asks for prices. ``perfmw demo`` runs both under traffic. Neither knows of perfmw. To try the shop alone, from
the folder ``examples``::

    perfmw run shop.app:app

Environment: ``SHOP_DATABASE`` is the database file (made when missing; default a temporary one),
``SHOP_PARTNER_URL`` the partner's address (without one, list prices are shown).
"""
