"""segments kept fresh"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('calendar',
    sa.Column('site_id', sa.BigInteger(), nullable=False),
    sa.Column('attribute', sa.Text(), nullable=False),
    sa.Column('customer_id', sa.Integer(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=True, comment='null: a day without an instant in reach'),
    sa.Column('month_day', sa.SmallInteger(), nullable=True, comment='month * 100 + day'),
    sa.ForeignKeyConstraint(['site_id'], ['site.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('site_id', 'attribute', 'customer_id')
    )
    op.create_index('calendar_by_day', 'calendar', ['site_id', 'attribute', 'month_day'], unique=False, postgresql_include=['customer_id'])
    op.create_index('calendar_by_time', 'calendar', ['site_id', 'attribute', 'at'], unique=False, postgresql_include=['customer_id'])
    op.create_table('calendar_attribute',
    sa.Column('site_id', sa.BigInteger(), nullable=False),
    sa.Column('attribute', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['site_id'], ['site.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('site_id', 'attribute')
    )
    op.create_table('change_note',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('site_id', sa.BigInteger(), nullable=False),
    sa.Column('noted_at', sa.DateTime(timezone=True), nullable=False, comment="the writer's now: no fact noted here is later"),
    sa.Column('customers', postgresql.ARRAY(sa.Integer()), nullable=False),
    sa.Column('kinds', postgresql.ARRAY(sa.Integer()), nullable=False, comment="an event name's dictionary id, or a changes.Kind"),
    sa.ForeignKeyConstraint(['site_id'], ['site.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('change_note_of_site', 'change_note', ['site_id', 'id'], unique=False)
    op.create_table('customer_due',
    sa.Column('site_id', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('customer_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['site_id'], ['site.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('site_id', 'at', 'customer_id')
    )
    op.create_index(op.f('ix_customer_due_customer_id'), 'customer_due', ['customer_id'], unique=False)
    op.create_table('site_refresh',
    sa.Column('site_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('ticked_at', sa.DateTime(timezone=True), nullable=False, comment='up to here passing time is worked off'),
    sa.Column('fresh_at', sa.DateTime(timezone=True), nullable=False, comment='the members are those of this instant'),
    sa.Column('zone', sa.Text(), nullable=False, comment="the site's zone that the members were found with"),
    sa.Column('edits', sa.BigInteger(), server_default='0', nullable=False, comment='grows when a rule of the site changes'),
    sa.ForeignKeyConstraint(['site_id'], ['site.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('site_id')
    )
    op.create_table('membership_change',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('segment_id', sa.BigInteger(), nullable=False),
    sa.Column('customer_id', sa.Integer(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('entered', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['segment_id'], ['segment.id'], ondelete='CASCADE')
    )
    op.create_index('membership_change_by_time', 'membership_change', ['segment_id', 'at', 'id'], unique=False, postgresql_include=['customer_id', 'entered'])
    op.create_index('membership_change_of_customer', 'membership_change', ['customer_id', 'segment_id', 'at', 'id'], unique=False, postgresql_include=['entered'])
    op.add_column('segment', sa.Column('is_due', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('segment', sa.Column('whole_ms', sa.Integer(), nullable=True))
    op.add_column('segment_member', sa.Column('reachable', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='has an active subscription'))
    op.drop_constraint(op.f('segment_member_customer_id_fkey'), 'segment_member', type_='foreignkey')
    op.drop_index('segment_member_of_customer', table_name='segment_member')
    op.create_index('segment_member_of_customer', 'segment_member', ['customer_id', 'segment_id'], unique=False, postgresql_include=['reachable'])
    op.execute('insert into membership_change (segment_id, customer_id, at, entered)'
               ' select segment_id, customer_id, since, true from segment_member order by since')
    op.execute('update segment set is_due = true')


def downgrade() -> None:
    op.drop_index('segment_member_of_customer', table_name='segment_member')
    op.create_index('segment_member_of_customer', 'segment_member', ['customer_id', 'segment_id'], unique=False)
    op.execute('delete from segment_member where customer_id not in (select id from customer)')
    op.create_foreign_key(op.f('segment_member_customer_id_fkey'), 'segment_member', 'customer', ['customer_id'], ['id'], ondelete='CASCADE')
    op.drop_column('segment_member', 'reachable')
    op.drop_column('segment', 'whole_ms')
    op.drop_column('segment', 'is_due')
    op.drop_index('membership_change_of_customer', table_name='membership_change', postgresql_include=['entered'])
    op.drop_index('membership_change_by_time', table_name='membership_change', postgresql_include=['customer_id', 'entered'])
    op.drop_table('membership_change')
    op.drop_table('site_refresh')
    op.drop_index(op.f('ix_customer_due_customer_id'), table_name='customer_due')
    op.drop_table('customer_due')
    op.drop_index('change_note_of_site', table_name='change_note')
    op.drop_table('change_note')
    op.drop_table('calendar_attribute')
    op.drop_index('calendar_by_time', table_name='calendar', postgresql_include=['customer_id'])
    op.drop_index('calendar_by_day', table_name='calendar', postgresql_include=['customer_id'])
    op.drop_table('calendar')
