internal import Compression
internal import ModelFiles
internal import Evaluation
internal import Reporting
internal import TensorCore

/// A job's events as JSON, one object a line, for programs that follow a run.
final class EventLines: Sendable {
  /// The time of the last progress line, which would come by the thousand otherwise.
  private let last = Locked(ContinuousClock.now - .seconds(1))

  /// Writes one event to standard output.
  func show(_ event: JobEvent) {
    switch event {
    case .stage(let index, let count, let label):
      write([
        ("event", .string("stage")), ("index", .integer(index)), ("count", .integer(count)),
        ("label", .string(label)),
      ])
    case .progress(let step, let fraction):
      let isDue = last.withLock { last in
        let now = ContinuousClock.now
        guard now - last >= .milliseconds(500) else { return false }
        last = now
        return true
      }
      guard isDue, fraction.isFinite else { return }
      write([
        ("event", .string("progress")), ("step", .string(step)),
        ("fraction", .number((fraction * 1000).rounded() / 1000)),
      ])
    case .done(let step, let remark):
      write([("event", .string("done")), ("step", .string(step)), ("remark", .string(remark))])
    // The last line has what all stages came to.
    case .finished: break
    case .note(let text): write([("event", .string("note")), ("text", .string(text))])
    }
  }

  /// Writes the last line: where the reports are, and what each stage came to.
  func finish(_ outcome: JobOutcome) {
    let stages = outcome.report.stages.map { stage -> JSONValue in
      var members: [(String, JSONValue)] = [
        ("index", .integer(stage.index)), ("name", .string(stage.name)),
        ("packedBytes", .integer(stage.size.packedBytes)), ("sha256", .string(stage.artifact.sha256)),
      ]
      if let metrics = stage.language { members.append(("perplexity", .number(metrics.perplexity.value))) }
      if let divergence = stage.divergence { members.append(("meanKLD", .number(divergence.mean.value))) }
      return .object(JSONObject(members))
    }
    write([
      ("event", .string("finished")), ("folder", .string(outcome.folder)), ("stages", .array(stages)),
      ("failure", outcome.report.failure.map { .string($0.message) } ?? .null),
    ])
  }

  private func write(_ members: [(String, JSONValue)]) {
    Terminal.output(JSONValue.object(JSONObject(members)).text() + "\n")
  }
}
