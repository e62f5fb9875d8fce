import ModelFiles
import Models
import Passes
import TensorCore

/// A pass that changes nothing, and keeps what it was given to observe.
struct ObservingPass: Pass {
  static let name = "observe"
  let seen = Locked<[CalibrationSet?]>([])
  var need = ObservationNeed.gram
  var outcomes: [String: TensorOutcome] = [:]
  var remarks: [String] = []

  init(need: ObservationNeed = .gram) { self.need = need }
  init(options: inout RecipeMapping) throws(RecipeError) { try options.finish(known: []) }

  var options: JSONValue { .object(JSONObject()) }
  var label: String { "observed" }
  var needs: ObservationNeed { need }

  func plan(for checkpoint: Checkpoint) throws -> PassPlan { try BaselinePass().plan(for: checkpoint) }

  func apply(_ plan: PassPlan, to checkpoint: Checkpoint, in context: PassContext) throws -> PassResult {
    seen.withLock { $0.append(context.calibration) }
    var result = PassResult(checkpoint: plan.reencode(checkpoint), plan: plan)
    result.outcomes = outcomes
    result.notes = remarks
    return result
  }
}
