internal import ModelFiles
internal import Models
internal import Passes
internal import TensorCore
internal import WeightCodecs

extension Checkpoint {
  /// The tensors with weights that are NaN or infinite: no block format can hold those.
  ///
  /// - Throws: ``JobError`` naming the first one, unless they are allowed.
  func nonfiniteTensors(allowed: Bool, observer: JobObserver) throws -> Set<String> {
    var names: Set<String> = []
    for (index, tensor) in tensors.enumerated() where tensor.format.isWeight {
      observer(.progress(step: "check weights", fraction: Double(index) / Double(tensors.count)))
      let bytes = try tensor.bytes.load()
      let place = try TensorCoding.firstNonFinite(
        bytes, format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
      guard let place else { continue }
      guard allowed else {
        throw JobError(
          .badInput,
          "\(source.path): tensor '\(tensor.name)' has a NaN or infinity at row \(place.row), "
            + "column \(place.column); the checkpoint is damaged (--allow-nonfinite takes it as it is)")
      }
      names.insert(tensor.name)
    }
    return names
  }
}

extension PassPlan {
  /// The plan with the tensors called `names` in the format that they have.
  func keeping(_ names: Set<String>) -> PassPlan {
    var plan = self
    for index in plan.entries.indices where names.contains(plan.entries[index].name) {
      guard plan.entries[index].to.isQuantized, plan.entries[index].to != plan.entries[index].from else {
        continue
      }
      plan.entries[index].to = plan.entries[index].from
      plan.entries[index].note = "has NaN or infinite weights: kept"
    }
    return plan
  }
}
