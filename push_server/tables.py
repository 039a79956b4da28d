"""All tables of the product, for migrations and for work that concerns each table alike."""

from sqlmodel import SQLModel

import push_server.audiences.models
import push_server.campaigns.models
import push_server.catalog.models
import push_server.customers.models
import push_server.delivery.models
import push_server.events.models
import push_server.http
import push_server.loyalty.models
import push_server.queue
import push_server.sites.models
import push_server.subscriptions.models  # noqa: F401

metadata = SQLModel.metadata
