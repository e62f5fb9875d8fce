internal import ModelFiles
internal import Models
internal import Passes
internal import TensorCore
internal import WeightCodecs

extension Checkpoint {
  /// Refuses weights that are NaN or infinite, naming the first one.
  ///
  /// - Parameter names: tensors that are left out.
  func refuseNonfinite(except names: Set<String> = [], observer: JobObserver) throws {
    try scan(observer, except: names) { tensor, place in
      throw JobError(
        .badInput,
        "\(source.path): tensor '\(tensor.name)' has a NaN or infinity at row \(place.row), "
          + "column \(place.column); the checkpoint is damaged (--allow-nonfinite takes it as it is)")
    }
  }

  /// The names of tensors that hold a NaN or infinity.
  func nonfiniteTensors(observer: JobObserver) throws -> Set<String> {
    var names: Set<String> = []
    try scan(observer, except: []) { tensor, _ in names.insert(tensor.name) }
    return names
  }

  /// A look for NaN and infinities in tensors while they are packed; where stored bits leave a doubt, all weights are looked
  /// through at the end, and the first one is named.
  func finiteInspection(observer: @escaping JobObserver) -> ArtifactFile.Inspection {
    let isDoubtful = Locked(false)
    return ArtifactFile.Inspection { tensor, bytes, range in
      guard let bits = FiniteBits(tensor.format), !bits.areFinite(bytes.buffer, range) else { return }
      isDoubtful.withLock { $0 = true }
    } conclude: {
      if isDoubtful.withLock({ $0 }) { try refuseNonfinite(observer: observer) }
    }
  }

  private func scan(
    _ observer: JobObserver, except names: Set<String>,
    _ found: (StoredTensor, (row: Int, column: Int)) throws -> Void
  ) throws {
    for (index, tensor) in tensors.enumerated() where tensor.format.isWeight && !names.contains(tensor.name) {
      observer(.progress(step: "check weights", fraction: Double(index) / Double(tensors.count)))
      let bytes = try tensor.bytes.load()
      let place = try TensorCoding.firstNonFinite(
        bytes, format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
      bytes.letGo()
      if let place { try found(tensor, place) }
    }
  }
}

extension PassPlan {
  /// The plan with the tensors of these names left in their formats: no block format has a code for NaN.
  func sparing(_ names: Set<String>) -> PassPlan {
    var result = self
    for (place, entry) in entries.enumerated() where names.contains(entry.name) && entry.to.isQuantized {
      result.entries[place].to = entry.from
      result.entries[place].note = "holds a NaN or infinity; left as it is"
    }
    return result
  }
}
