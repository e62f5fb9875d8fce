internal import Compression
internal import Evaluation
internal import TensorCore

/// How long each step of a run took, and the memory that the process had taken at most by its end.
final class PhaseClock: Sendable {
  private struct Phase {
    var stage: String
    var step: String
    var seconds = 0.0
    var peak: Int?
  }

  private struct State {
    var phases: [Phase] = []
    var stage = ""
    var since = Stopwatch.system.now()
  }

  private let state = Locked(State())

  /// Notes one event; steps that come again, block after block, are added up.
  func note(_ event: JobEvent) {
    state.withLock { state in
      switch event {
      case .stage(_, _, let label):
        PhaseClock.close(&state)
        state.stage = label
        state.phases.append(Phase(stage: label, step: "begin"))
      case .progress(let step, _):
        guard state.phases.last.map({ $0.step != step || $0.stage != state.stage }) ?? true else { return }
        PhaseClock.close(&state)
        if let known = state.phases.firstIndex(where: { $0.step == step && $0.stage == state.stage }) {
          state.phases.append(state.phases.remove(at: known))
        } else {
          state.phases.append(Phase(stage: state.stage, step: step))
        }
      case .done, .finished, .note: break
      }
    }
  }

  private static func close(_ state: inout State) {
    let now = Stopwatch.system.now()
    if let last = state.phases.indices.last {
      state.phases[last].seconds += now - state.since
      state.phases[last].peak = MemoryUse.peak
    }
    state.since = now
  }

  /// A line a step: seconds, peak memory in bytes, stage and step; steps that took less than a hundredth of a second are left
  /// out.
  var text: String {
    state.withLock { state in
      PhaseClock.close(&state)
      let lines = state.phases.filter { $0.seconds >= 0.01 }.map { phase in
        "\(PhaseClock.fixed(phase.seconds)) s, \((phase.peak ?? 0) / 1_000_000) MB at most: "
          + "\(phase.stage.isEmpty ? "plan" : phase.stage), \(phase.step)\n"
      }
      return lines.joined()
    }
  }

  private static func fixed(_ seconds: Double) -> String {
    let hundredths = Int((seconds * 100).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
  }
}
