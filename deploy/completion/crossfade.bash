# bash completion for crossfade. Made by "crossfade docs bash" from the command and option tables: change those, not this.
# shellcheck shell=bash disable=SC2207

# What may stand behind a flag: sets kind (none, free, file, folder) and choices.
_crossfade_value() {
    kind=none choices=
    case "$1 $2" in
    *' -c' | *' --config') kind=file ;;
    'schema --format') kind=free choices='markdown html json' ;;
    'schema --output') kind=file ;;
    'capture --where') kind=free ;;
    'capture --table') kind=free ;;
    'capture --reason') kind=free ;;
    'apply --take') kind=free choices='source target' ;;
    'apply --reason') kind=free ;;
    'apply --timeout') kind=free ;;
    'status --wait') kind=free choices='caught-up' ;;
    'status --timeout') kind=free ;;
    'compare --table') kind=free ;;
    'compare --where') kind=free ;;
    'compare --target-where') kind=free ;;
    'compare --since') kind=free ;;
    'compare --until') kind=free ;;
    'compare --time-column') kind=free ;;
    'compare --partition') kind=free ;;
    'compare --level') kind=free ;;
    'compare --report-dir') kind=folder ;;
    'compare --junit') kind=file ;;
    'compare --html') kind=file ;;
    'compare --seed') kind=free ;;
    'compare --limit') kind=free ;;
    'compare --sql') kind=file ;;
    'compare --rounds') kind=free ;;
    'cutover --confirm') kind=free ;;
    'cutover --report') kind=file ;;
    'rollback --confirm') kind=free ;;
    'cleanup --confirm') kind=free ;;
    'decommission --confirm') kind=free ;;
    'decommission --interval') kind=free ;;
    'approve --key') kind=file ;;
    'approve --note') kind=free ;;
    'approve --valid') kind=free ;;
    'approve --plan') kind=free ;;
    'audit --limit') kind=free ;;
    'audit --event') kind=free ;;
    'audit --cutover') kind=free ;;
    'audit --after') kind=free ;;
    'audit --expect') kind=free ;;
    'journal --table') kind=free ;;
    'journal --key') kind=free ;;
    'journal --from-lsn') kind=free ;;
    'journal --from') kind=free ;;
    'journal --last') kind=free ;;
    'journal --count') kind=free ;;
    'journal --partition') kind=free ;;
    'journal --format') kind=free choices='json debezium' ;;
    'journal --findings') kind=free ;;
    'journal --memory') kind=free ;;
    *' --source.filters_changed') kind=free choices='refuse accept' ;;
    *' --source.mask_salt_file') kind=file ;;
    *' --source.debezium.format') kind=free choices='json avro' ;;
    *' --source.debezium.registry_ca') kind=file ;;
    *' --target.unfit') kind=free choices='halt null nearest' ;;
    *' --journal.format') kind=free choices='avro json' ;;
    *' --journal.json_schemas') kind=free choices='true false' ;;
    *' --journal.transaction_topic') kind=free choices='true false' ;;
    *' --journal.heartbeat_topic') kind=free choices='true false' ;;
    *' --journal.message_topic') kind=free choices='true false' ;;
    *' --journal.type_profile') kind=free choices='exact debezium' ;;
    *' --journal.envelope') kind=free choices='auto full lean' ;;
    *' --journal.lossy') kind=free choices='halt debezium' ;;
    *' --journal.decimal_mode') kind=free choices='precise double string' ;;
    *' --journal.time_mode') kind=free choices='adaptive adaptive_time_microseconds connect' ;;
    *' --journal.interval_mode') kind=free choices='numeric string' ;;
    *' --journal.binary_mode') kind=free choices='bytes base64 hex' ;;
    *' --journal.hstore_mode') kind=free choices='json map' ;;
    *' --journal.delivery') kind=free choices='transactions idempotent' ;;
    *' --journal.create_topics') kind=free choices='true false' ;;
    *' --journal.large_records') kind=free choices='halt claim' ;;
    *' --journal.claim_store') kind=file ;;
    *' --journal.registry_ca') kind=file ;;
    *' --capture.snapshot') kind=free choices='initial never only' ;;
    *' --capture.snapshot_path') kind=free choices='journal direct' ;;
    *' --capture.on_ddl') kind=free choices='propagate stop' ;;
    *' --capture.failover_slot') kind=free choices='true false' ;;
    *' --capture.spill_dir') kind=file ;;
    *' --capture.spill_encryption') kind=free choices='true false' ;;
    *' --capture.streaming') kind=free choices='on off' ;;
    *' --capture.origin') kind=free choices='any not_crossfade none' ;;
    *' --apply.on_nonempty') kind=free choices='refuse truncate' ;;
    *' --apply.on_row_error') kind=free choices='halt dead_letter' ;;
    *' --apply.stop_file') kind=file ;;
    *' --control.token_file') kind=file ;;
    *' --control.tls_cert') kind=file ;;
    *' --control.tls_key') kind=file ;;
    *' --control.client_ca') kind=file ;;
    *' --control.ca') kind=file ;;
    *' --control.client_cert') kind=file ;;
    *' --control.client_key') kind=file ;;
    *' --control.read') kind=free choices='open authenticated' ;;
    *' --control.exposed') kind=free choices='warn refuse' ;;
    *' --alerts.webhook_ca') kind=file ;;
    *' --compare.report_dir') kind=file ;;
    *' --compare.level') kind=free choices='counts digests full' ;;
    *' --compare.by_partition') kind=free choices='true false' ;;
    *' --compare.json') kind=free choices='exact canonical' ;;
    *' --compare.unicode') kind=free choices='as_is nfc' ;;
    *' --compare.text') kind=free choices='exact collation' ;;
    *' --compare.watch.shadow_at') kind=free choices='live fence' ;;
    *' --compare.watch.on_mismatch') kind=free choices='block_and_alert stop' ;;
    *' --compare.shadow.file') kind=file ;;
    *' --compare.shadow.statements') kind=free choices='true false' ;;
    *' --schema.indexes') kind=free choices='before_snapshot after_snapshot' ;;
    *' --schema.pg_dump') kind=file ;;
    *' --cutover.postpone_file') kind=file ;;
    *' --cutover.materialized_views') kind=free choices='refresh ignore' ;;
    *' --cutover.refresh_after') kind=free choices='true false' ;;
    *' --cutover.analyze') kind=free choices='true false' ;;
    *' --cutover.prewarm') kind=free choices='true false' ;;
    *' --cutover.large_objects') kind=free choices='refuse ignore' ;;
    *' --cutover.unlogged_tables') kind=free choices='refuse ignore' ;;
    *' --cutover.grants') kind=free choices='refuse ignore' ;;
    *' --cutover.reverse') kind=free choices='required optional off' ;;
    *' --cutover.watch.reverse_config') kind=file ;;
    *' --decommission.tombstone') kind=free choices='auto login preload connect' ;;
    *' --log.format') kind=free choices='text json' ;;
    *' --log.level') kind=free choices='debug info warn error' ;;
    *' --'*.*) kind=free ;;
    esac
}

# The words of a command: verbs, flags.
_crossfade_command() {
    verbs= flags=
    case "$1" in
    '') verbs='check schema capture apply status compare cutover rollback cleanup decommission approve audit journal' flags='--config= --help --reverse --version' ;;
    check) verbs='' flags='--json --config= --reverse --help --pipeline= --source.url= --source.tables= --source.filters= --source.mask_salt= --source.mask_salt_file= --target.url= --journal.url= --journal.format= --journal.type_profile= --journal.lossy= --journal.decimal_mode= --journal.time_mode= --journal.interval_mode= --journal.binary_mode= --journal.hstore_mode= --journal.topic_prefix= --journal.topic_routing= --journal.claim_store= --journal.kafka= --journal.registry= --journal.registry_user= --journal.registry_password= --journal.registry_ca= --capture.snapshot_workers= --apply.on_nonempty=' ;;
    schema) verbs='plan create compare' flags='--format= --output= --execute --indexes --wait --json --config= --help --pipeline= --source.url= --source.tables= --source.filters= --target.url= --capture.snapshot_path= --types= --schema.indexes= --schema.workers= --schema.exclude= --schema.pg_dump= --cutover.schema_ignore=' ;;
    capture) verbs='run pause resume throttle reload drain add-table resnapshot accept-ddl' flags='--where= --table= --json --reason= --config= --reverse --help --pipeline= --source.url= --source.standby_url= --source.tables= --source.filters= --source.filters_changed= --source.mask_salt= --source.mask_salt_file= --target.unfit= --target.unfit_columns= --journal.url= --journal.format= --journal.json_schemas= --journal.transaction_topic= --journal.heartbeat_topic= --journal.message_topic= --journal.type_profile= --journal.envelope= --journal.lossy= --journal.decimal_mode= --journal.time_mode= --journal.interval_mode= --journal.binary_mode= --journal.hstore_mode= --journal.topic_prefix= --journal.topic_routing= --journal.partitions= --journal.replication_factor= --journal.delivery= --journal.create_topics= --journal.keep= --journal.large_records= --journal.claim_store= --journal.kafka= --journal.registry= --journal.registry_user= --journal.registry_password= --journal.registry_ca= --capture.listen= --capture.snapshot= --capture.snapshot_path= --capture.on_ddl= --capture.max_rows_per_second= --capture.max_source_latency_ms= --capture.failover_slot= --capture.max_retained_wal= --capture.snapshot_workers= --capture.snapshot_chunk_rows= --capture.fence_interval_ms= --capture.fence_max_changes= --capture.max_memory= --capture.spill_dir= --capture.spill_encryption= --capture.streaming= --capture.origin= --capture.heartbeat_interval_ms= --apply.on_row_error= --apply.max_dead_letters= --control.token_file= --control.tls_cert= --control.tls_key= --control.client_ca= --control.ca= --control.client_cert= --control.client_key= --control.read= --control.exposed= --alerts.webhook= --alerts.webhook_secret= --alerts.webhook_ca= --alerts.on_event= --alerts.on_event_timeout= --alerts.events= --alerts.raise_after= --alerts.clear_after= --schema.index_memory= --log.format= --log.level=' ;;
    apply) verbs='run pause resume throttle reload drain dlq conflicts' flags='--json --all --take= --reason= --timeout= --config= --reverse --help --pipeline= --source.debezium.brokers= --source.debezium.topics= --source.debezium.format= --source.debezium.transaction_topic= --source.debezium.collections= --source.debezium.tables= --source.debezium.unavailable_value= --source.debezium.kafka= --source.debezium.registry= --source.debezium.registry_user= --source.debezium.registry_password= --source.debezium.registry_ca= --target.url= --target.unfit= --target.unfit_columns= --journal.url= --journal.format= --journal.lossy= --journal.topic_prefix= --journal.claim_store= --journal.kafka= --journal.registry= --journal.registry_user= --journal.registry_password= --journal.registry_ca= --apply.listen= --apply.batch_max_changes= --apply.batch_max_bytes= --apply.on_nonempty= --apply.on_row_error= --apply.max_dead_letters= --apply.shard= --apply.writers= --apply.writer_rows= --apply.conflicts= --apply.dual_write_until= --apply.batch_latency_ms= --apply.max_rows_per_second= --apply.max_replica_lag_ms= --apply.schedule= --apply.stop_file= --apply.max_lag_ms= --control.token_file= --control.tls_cert= --control.tls_key= --control.client_ca= --control.ca= --control.client_cert= --control.client_key= --control.read= --control.exposed= --alerts.webhook= --alerts.webhook_secret= --alerts.webhook_ca= --alerts.on_event= --alerts.on_event_timeout= --alerts.events= --alerts.raise_after= --alerts.clear_after= --log.format= --log.level=' ;;
    'apply dlq') verbs='list show retry discard' ;;
    'apply conflicts') verbs='list show resolve' ;;
    status) verbs='' flags='--json --watch --wait= --timeout= --config= --reverse --help --pipeline= --source.url= --source.debezium.brokers= --capture.listen= --apply.listen= --control.token_file= --control.tls_cert= --control.ca= --control.client_cert= --control.client_key=' ;;
    compare) verbs='run shadow watch history repair selftest' flags='--table= --changed --resume --where= --target-where= --since= --until= --time-column= --partition= --by-partition --at-once --all-rows --json --level= --verbose --report-dir= --junit= --html= --live --seed= --once --limit= --sql= --through-journal --execute --delete-extra --rounds= --config= --reverse --help --pipeline= --source.url= --source.tables= --source.filters= --target.url= --target.unfit= --target.unfit_columns= --alerts.webhook= --alerts.webhook_secret= --alerts.webhook_ca= --alerts.on_event= --alerts.on_event_timeout= --alerts.events= --compare.report_dir= --compare.report_formats= --compare.redact= --compare.level= --compare.by_partition= --compare.counts= --compare.queries= --compare.aggregates= --compare.samples= --compare.rules= --compare.contracts= --compare.query_timeout_s= --compare.tolerance= --compare.json= --compare.unicode= --compare.text= --compare.text_columns= --compare.workers= --compare.chunk_rows= --compare.deadline_ms= --compare.watch.counts= --compare.watch.digests= --compare.watch.full= --compare.watch.changed= --compare.watch.shadow= --compare.watch.shadow_at= --compare.watch.on_mismatch= --compare.watch.keep= --compare.watch.webhook= --compare.watch.webhook_secret= --compare.where= --compare.target_where= --compare.time_columns= --compare.max_rate_rows= --compare.busy_share= --compare.busy_burst= --compare.max_source_load= --compare.max_source_latency_ms= --compare.max_replica_lag_ms= --compare.full_every= --compare.max_snapshot_age= --compare.shadow.queries= --compare.shadow.file= --compare.shadow.log= --compare.shadow.statements= --compare.shadow.exclude= --compare.shadow.search_path= --compare.shadow.sample= --compare.shadow.max_queries= --compare.shadow.variants= --compare.shadow.samples= --compare.shadow.workers= --compare.shadow.rate= --compare.shadow.duration_s= --compare.shadow.statement_timeout_ms= --compare.shadow.max_rows= --compare.shadow.rechecks= --compare.shadow.latency_regression= --compare.shadow.latency_floor_ms= --compare.shadow.min_coverage= --cutover.clean_for= --log.format= --log.level=' ;;
    cutover) verbs='plan run resume abort list status report watch' flags='--execute --confirm= --json --once --report= --config= --help --pipeline= --source.url= --source.tables= --source.filters= --target.url= --journal.url= --journal.topic_routing= --journal.claim_store= --capture.listen= --apply.listen= --control.token_file= --control.tls_cert= --control.ca= --control.client_cert= --control.client_key= --alerts.webhook= --alerts.webhook_secret= --alerts.webhook_ca= --alerts.on_event= --alerts.on_event_timeout= --alerts.events= --compare.report_dir= --compare.report_formats= --compare.redact= --compare.tolerance= --compare.json= --compare.unicode= --compare.text= --compare.text_columns= --compare.workers= --compare.chunk_rows= --compare.deadline_ms= --compare.watch.counts= --compare.watch.digests= --compare.watch.full= --compare.watch.changed= --compare.watch.shadow= --compare.shadow.latency_regression= --schema.exclude= --cutover.max_lag_ms= --cutover.verdict_max_age_s= --cutover.clean_for= --cutover.schema_ignore= --cutover.shadow_latency_ratio= --cutover.drain_timeout_s= --cutover.lag_stable_ms= --cutover.straggler_grace_ms= --cutover.freeze_timeout_ms= --cutover.max_transaction_age_s= --cutover.arm_timeout_ms= --cutover.step_timeout_ms= --cutover.pause_budget_ms= --cutover.postpone_file= --cutover.prepare_timeout_s= --cutover.prepare_workers= --cutover.materialized_views= --cutover.refresh_after= --cutover.analyze= --cutover.warm_up= --cutover.prewarm= --cutover.large_objects= --cutover.unlogged_tables= --cutover.grants= --cutover.abort_timeout_ms= --cutover.approval= --cutover.approvers= --cutover.approval_valid_s= --cutover.poolers= --cutover.pooler_timeout_ms= --cutover.pooler_hold_ms= --cutover.on_freeze= --cutover.on_verified= --cutover.on_switch= --cutover.on_abort= --cutover.read_steps= --cutover.read_step_hold= --cutover.on_read_step= --cutover.on_done= --cutover.hook_timeout_ms= --cutover.reverse= --cutover.rollback_window= --reverse.pipeline= --reverse.journal= --reverse.capture_listen= --reverse.apply_listen= --cutover.triggers.reconciliation= --cutover.triggers.latency_p95= --cutover.triggers.pooler_latency= --cutover.triggers.error_rate= --cutover.triggers.lag= --cutover.triggers.failed_batches= --cutover.triggers.roles= --cutover.triggers.disk= --cutover.triggers.corruption= --cutover.watch.every= --cutover.watch.disk_paths= --cutover.watch.webhook= --cutover.watch.webhook_secret= --cutover.watch.on_alert= --cutover.watch.rollback_command= --cutover.watch.reverse_config= --cutover.auto_cutover_on.maintenance_window= --cutover.auto_cutover_on.clean_for= --cutover.auto_cutover_on.confirm= --cutover.auto_cutover_on.max_attempts= --cutover.auto_cutover_on.retry= --log.format= --log.level=' ;;
    rollback) verbs='plan run resume abort list status rehearse' flags='--execute --confirm= --json --keep --config= --help --pipeline= --source.url= --target.url= --journal.url= --alerts.webhook= --alerts.webhook_secret= --alerts.webhook_ca= --alerts.on_event= --alerts.on_event_timeout= --alerts.events= --cutover.rollback_window= --reverse.pipeline= --reverse.journal= --reverse.capture_listen= --reverse.apply_listen= --reverse.on_freeze= --reverse.on_verified= --reverse.on_switch= --reverse.on_abort= --reverse.on_done=' ;;
    cleanup) verbs='' flags='--execute --journal --confirm= --discard-dead-letters --open-source --without-source --json --config= --reverse --help --pipeline= --source.url= --source.standby_url= --target.url= --journal.url= --journal.topic_prefix= --cutover.rollback_window=' ;;
    decommission) verbs='status watch tombstone' flags='--execute --undo --confirm= --interval= --once --json --config= --help --pipeline= --source.url= --target.url= --cutover.rollback_window= --decommission.tombstone= --decommission.new_home= --decommission.allow= --decommission.quiet_s=' ;;
    approve) verbs='list revoke' flags='--key= --note= --valid= --plan= --json --config= --help --pipeline= --source.url= --source.tables= --source.filters= --target.url= --cutover.approval= --cutover.approvers= --cutover.approval_valid_s=' ;;
    audit) verbs='list export verify' flags='--json --limit= --event= --cutover= --after= --expect= --no-source --config= --reverse --help --pipeline= --source.url= --target.url=' ;;
    journal) verbs='list cat follow fences verify' flags='--table= --key= --from-lsn= --from= --last= --count= --partition= --format= --findings= --memory= --json --config= --reverse --help --pipeline= --source.filters= --journal.url= --journal.format= --journal.topic_prefix= --journal.topic_routing= --journal.claim_store= --journal.kafka= --journal.registry= --journal.registry_user= --journal.registry_password= --journal.registry_ca=' ;;
    esac
}

_crossfade() {
    local cur=${COMP_WORDS[COMP_CWORD]} flag='' command='' verb='' word kind choices verbs flags i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == = ]]; then # --flag = value
            if ((i + 1 < COMP_CWORD)); then flag='' && ((i++)); fi
            continue
        fi
        if [[ -n $flag ]]; then
            _crossfade_value "$command" "$flag"
            flag=''
            [[ $kind == none ]] || continue # the flag's value
        fi
        if [[ $word == -* ]]; then flag=$word
        elif [[ -z $command ]]; then command=$word
        else verb="$verb${verb:+ }$word"
        fi
    done
    COMPREPLY=()
    [[ $cur != = ]] || cur=''
    if [[ -n $flag ]]; then
        _crossfade_value "$command" "$flag"
        if [[ -n $choices ]]; then COMPREPLY=($(compgen -W "$choices" -- "$cur")); return; fi
        case $kind in
        file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        folder) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")); return ;;
        free) return ;;
        esac
    fi
    _crossfade_command "$command"
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
        [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
    elif [[ -z $command || -z $verb ]]; then
        COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
    else
        _crossfade_command "$command $verb"
        COMPREPLY=($(compgen -W "$verbs" -- "$cur"))
    fi
}

complete -F _crossfade crossfade
