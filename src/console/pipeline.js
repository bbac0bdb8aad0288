// A source's way through the pipeline: its seven steps as they are, and every run there was.

import { html, useEffect, useRef, useState } from "./ui.js";
import { call, why } from "./api.js";
import { follow } from "./live.js";
import { mayEdit, session } from "./session.js";
import { Badge } from "./table.js";
import { moment } from "./text.js";
import { toast } from "./toasts.js";

const RUNNING = ["requested", "PENDING", "RUNNING", "CANCEL_PENDING"];

export function Pipeline({ id }) {
  const canEdit = mayEdit(session.use());
  const [pipeline, setPipeline] = useState({ steps: [], problem: null });
  const [runs, setRuns] = useState(null);
  const [error, setError] = useState("");
  const socket = useRef(null);
  const reads = useRef(0);

  const read = async () => {
    // Of several reads under way the one that began last says what is so.
    const mine = ++reads.current;
    const [known, answer] = await Promise.all([
      call("GET", "/api/pipeline/"), call("GET", `/api/pipeline-runs/?source=${id}`)]);
    if (mine !== reads.current) return;
    if (known.ok) setPipeline(known.body);
    if (answer.ok) setRuns(answer.body);
    setError([known, answer].filter(({ ok }) => !ok).map(why)[0] ?? "");
  };
  useEffect(() => {
    // Events say what to read again; also after each time that the socket was away.
    const receive = (message) => {
      if ("success" in message) {
        if (!message.success) toast(message.error, { bad: true });
      } else if (!message.source_id || message.source_id === id) {
        read();
      }
    };
    socket.current = follow(() => "/ws/EMRConsumer/", receive, { pushes: false, opened: read });
    return socket.current.stop;
  }, [id]);

  const send = (message) => {
    if (!socket.current.send(message)) toast("Not connected. Nothing was started.", { bad: true });
  };
  return html`<section class="pipeline" aria-labelledby="pipeline">
    <h2 id="pipeline">Pipeline</h2>
    ${error && html`<p class="error" role="alert">${error}</p>`}
    ${pipeline.problem && html`<p class="none">Nothing can be started here. ${pipeline.problem}.</p>`}
    <ol class="steps">${pipeline.steps.map((step) => html`<${Step} key=${step} step=${step}
      run=${runs?.find((run) => run.kind === "step" && run.step === step)}
      canStart=${canEdit && !pipeline.problem} canCancel=${canEdit}
      onStart=${() => send({ step, source_id: id })}
      onCancel=${(run) => send({ action: "cancel", run_id: run.id })} />`)}</ol>
    ${runs?.length > 0 && html`<${History} runs=${runs} />`}
  </section>`;
}

// `run` is the newest of the step; there may be none.
function Step({ step, run, canStart, canCancel, onStart, onCancel }) {
  const isRunning = run && RUNNING.includes(run.state);
  return html`<li>
    <span class="step-name">${step}</span>
    ${run ? html`<${Badge} kind=${run.state} />` : html`<span class="none">not run yet</span>`}
    ${run?.reason && html`<span class="reason" title=${run.reason}>${run.reason}</span>`}
    ${isRunning && canCancel
      && html`<button type="button" aria-label=${"Cancel " + step} onClick=${() => onCancel(run)}>Cancel</button>`}
    ${!isRunning && canStart
      && html`<button type="button" aria-label=${"Start " + step} onClick=${onStart}>${run ? "Run again" : "Start"}</button>`}
  </li>`;
}

const History = ({ runs }) => html`<div class="scroller plain" tabindex="0" role="region" aria-label="Table of runs">
  <table><thead><tr>
    <th scope="col">Requested</th><th scope="col">Step</th><th scope="col">State</th>
    <th scope="col" class="wide">By</th><th scope="col" class="wide">Changed</th><th scope="col" class="wide">Reason</th>
  </tr></thead>
  <tbody>${runs.map((run) => html`<tr key=${run.id}>
    <td>${moment(run.created_at)}</td><td>${run.step}</td><td><${Badge} kind=${run.state} /></td>
    <td class="wide">${run.requested_by}</td><td class="wide">${moment(run.updated_at)}</td>
    <td class="wide" title=${run.reason ?? ""}>${run.reason ?? html`<span class="none">–</span>`}</td>
  </tr>`)}</tbody></table>
</div>`;
