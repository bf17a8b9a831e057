{{/* Prefix of the names of all resources. A release's name may have dots, a Service's name may not. */}}
{{- define "core4.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods of a component. Takes a list: the root, the component's name. */}}
{{- define "core4.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 | quote }}
{{- end -}}

{{/*
All labels of a resource, each once: kustomize, which Argo CD and Flux use, refuses a key that is there
twice. Takes a list: the root, the component's name, and optionally the resource's own labels.
*/}}
{{- define "core4.labels" -}}
{{- $root := index . 0 -}}
{{- $labels := dict
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/part-of" "core4"
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $own := dict -}}
{{- if gt (len .) 2 -}}{{- $own = index . 2 | default dict -}}{{- end -}}
{{- $selector := include "core4.selector" . | fromYaml -}}
{{- mergeOverwrite $labels ($root.Values.commonLabels | default dict) $own $selector | toYaml -}}
{{- end -}}

{{- define "core4.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The Secret with the users and the key of the tokens. */}}
{{- define "core4.usersSecret" -}}
{{- .Values.auth.existingSecret | default (printf "%s-users" (include "core4.fullname" .)) -}}
{{- end -}}

{{- define "core4.claim" -}}
{{- .Values.persistence.existingClaim | default (printf "%s-journal" (include "core4.fullname" .)) -}}
{{- end -}}

{{/*
Data of the users' Secret, as JSON. Generated values are taken from the existing Secret. If there is none,
they are generated once and kept in .Values, so that the Secret, the pod's checksum and the notes agree.
*/}}
{{- define "core4.usersData" -}}
{{- if not (hasKey .Values "usersData") -}}
  {{- $old := (lookup "v1" "Secret" .Release.Namespace (include "core4.usersSecret" .)).data | default dict -}}
  {{- $known := dict -}}
  {{- /* Somebody may have edited it. */ -}}
  {{- range (index $old "users.json" | default "W10=" | b64dec | fromJsonArray) -}}
    {{- if and (kindIs "map" .) (kindIs "string" (dig "name" nil .)) (kindIs "string" (dig "password" nil .)) -}}
      {{- $_ := set $known .name .password -}}
    {{- end -}}
  {{- end -}}
  {{- $data := dict -}}
  {{- $users := list -}}
  {{- $names := list -}}
  {{- range .Values.auth.users -}}
    {{- $user := deepCopy . -}}
    {{- if has .name $names -}}{{- fail (printf "auth.users: %s is listed twice" .name) -}}{{- end -}}
    {{- if not (or .password .passwordHash) -}}
      {{- $key := include "core4.passwordKey" .name -}}
      {{- if hasKey $data $key -}}
        {{- fail (printf "auth.users: the generated password of %s has the same key %s as another user's: set its password or passwordHash" .name $key) -}}
      {{- end -}}
      {{- $kept := get $known .name | default (index $old $key | default "" | b64dec) -}}
      {{- $password := $kept | default (randAlphaNum 24) -}}
      {{- $_ := set $user "password" $password -}}
      {{- $_ := set $data $key $password -}}
    {{- end -}}
    {{- $names = append $names .name -}}
    {{- $users = append $users $user -}}
  {{- end -}}
  {{- $_ := set $data "users.json" (toJson $users) -}}
  {{- $secret := .Values.auth.jwtSecret | default (index $old "jwt-secret" | default "" | b64dec) | default (randAlphaNum 64) -}}
  {{- $_ := set $data "jwt-secret" $secret -}}
  {{- $_ := set .Values "usersData" $data -}}
{{- end -}}
{{- toJson .Values.usersData -}}
{{- end -}}

{{/*
Refuse an object of the chart itself as an existing one: Helm would delete it, since the chart doesn't
render it any more. Takes a list: the root, the value, the object's kind, the name that the chart would
give it.
*/}}
{{- define "core4.refuseOwn" -}}
{{- $root := index . 0 -}}
{{- $object := lookup "v1" (index . 2) $root.Release.Namespace (index . 3) | default dict -}}
{{- $annotations := dig "metadata" "annotations" dict $object | default dict -}}
{{- $own := eq (get $annotations "meta.helm.sh/release-name") $root.Release.Name -}}
{{- if and $own (ne (get $annotations "helm.sh/resource-policy") "keep") -}}
{{- fail (printf "%s: the %s %s belongs to this release, and Helm would delete it: name a copy of it" (index . 1) (index . 2) (index . 3)) -}}
{{- end -}}
{{- end -}}

{{/* Key of a generated password in the users' Secret. */}}
{{- define "core4.passwordKey" -}}
{{- . | replace "@" "_" }}-password
{{- end -}}

{{- define "core4.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.podSecurity.runAsUser }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with .Values.podSecurity.runAsGroup }}
runAsGroup: {{ int64 . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "core4.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Placement of the pod. Takes the values of its component. */}}
{{- define "core4.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Environment variables of every process. */}}
{{- define "core4.env" -}}
- name: CORE4_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
# Identity of the pod in Leases. The host name may be truncated.
- name: CORE4_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: CORE4_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: CORE4_HOST
  value: {{ .Values.listenAddress | quote }}
{{- end -}}

{{- define "core4.storeUrl" -}}
- name: CORE4_STORE_URL
{{- if .Values.store.existingSecret }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.store.existingSecret | quote }}
      key: {{ .Values.store.key | quote }}
{{- else }}
  value: sqlite:////var/lib/core4/journal.db
{{- end }}
{{- end -}}

{{/* Probes. Takes a dict: port, ready (path of the readiness probe). */}}
{{- define "core4.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 120
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .ready | quote }}, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* The rules of a role, from files/rbac.yaml. Takes a list: the root, the role's key. */}}
{{- define "core4.rules" -}}
{{- $root := index . 0 -}}
{{- range index ($root.Files.Get "files/rbac.yaml" | fromYaml) (index . 1) }}
- {{ omit . "why" | toYaml | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* The recorder's container. */}}
{{- define "core4.recorder" -}}
- name: recorder
  image: {{ include "core4.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [core4-recorder]
  env:
    {{- include "core4.env" . | nindent 4 }}
    {{- include "core4.storeUrl" . | nindent 4 }}
    - name: CORE4_PORT
      value: "5002"
    - name: CORE4_RETENTION_MAX_AGE_DAYS
      value: {{ .Values.retention.maxAgeDays | quote }}
    - name: CORE4_RETENTION_MAX_SIZE
      value: {{ .Values.retention.maxSize | quote }}
    - name: CORE4_RETENTION_DRY_RUN
      value: {{ .Values.retention.dryRun | quote }}
    {{- with .Values.recorder.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: recorder
      containerPort: 5002
  {{- include "core4.probes" (dict "port" "recorder" "ready" "/readyz") | nindent 2 }}
  resources: {{- toYaml .Values.recorder.resources | nindent 4 }}
  securityContext: {{- include "core4.securityContext" . | nindent 4 }}
  volumeMounts:
    {{- if not .Values.store.existingSecret }}
    - name: journal
      mountPath: /var/lib/core4
    {{- end }}
    - name: tmp
      mountPath: /tmp
{{- end -}}
