internal import ModelFiles
internal import Models
internal import TensorCore
internal import WeightCodecs

extension Checkpoint {
  /// Refuses weights that are NaN or infinite, naming the first one.
  func refuseNonfinite(observer: JobObserver) throws {
    for (index, tensor) in tensors.enumerated() where tensor.format.isWeight {
      observer(.progress(step: "check weights", fraction: Double(index) / Double(tensors.count)))
      let bytes = try tensor.bytes.load()
      let place = try TensorCoding.firstNonFinite(
        bytes, format: tensor.format, rows: tensor.rowCount, columns: tensor.rowLength)
      guard let place else { continue }
      throw JobError(
        .badInput,
        "\(source.path): tensor '\(tensor.name)' has a NaN or infinity at row \(place.row), "
          + "column \(place.column); the checkpoint is damaged (--allow-nonfinite takes it as it is)")
    }
  }
}
