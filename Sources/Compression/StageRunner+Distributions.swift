internal import ModelFiles
internal import Models
internal import Reporting
internal import TensorCore
internal import WeightCodecs

extension StageRunner {
  /// The tensors whose weights and codes are counted.
  private static let distributionCount = 4

  /// How weights and codes of the tensors with the largest errors are distributed.
  ///
  /// - Parameter tensors: the stage's tensors, in the order of `shipped`.
  func distributions(
    _ shipped: Checkpoint, tensors: [TensorReport], baseline: Checkpoint?
  ) throws -> [TensorDistribution] {
    guard let baseline else { return [] }
    func error(_ place: Int) -> Double { tensors[place].relativeSquaredError ?? 0 }
    let worst = tensors.indices.filter { tensors[$0].shape.count >= 2 && error($0) > 0 }
      .sorted { (error($0), $1) > (error($1), $0) }.prefix(StageRunner.distributionCount)
    return try worst.compactMap { place in
      let tensor = shipped.tensors[place]
      guard let original = baseline.tensors.first(where: { $0.name == tensor.name }),
        let histogram = try TensorHistogram(
          of: try tensor.bytes.load(), tensor.format, against: try original.bytes.load(), original.format,
          rows: tensor.rowCount, columns: tensor.rowLength)
      else { return nil }
      return TensorDistribution(
        name: tensor.name, tensor: place, weights: histogram.weights, bound: histogram.bound,
        original: histogram.original, stored: histogram.stored,
        codes: histogram.codes.map { .init(lowest: $0.lowest, step: $0.step, counts: $0.counts) })
    }
  }
}
