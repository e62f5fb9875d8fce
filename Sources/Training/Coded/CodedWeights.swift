import ModelFiles
package import Models
package import TensorCore
import WeightCodecs

/// The weights of a quantized student: codes and scales of its matrices are learned, vectors and other weights as they are.
package final class CodedWeights: WeightForm {
  /// What of a quantized matrix is learned.
  package enum Tuning: String, Sendable, CaseIterable {
    /// Codes where they have up to 64 levels or are uniform, and scales everywhere.
    case auto
    /// Codes and scales everywhere.
    case codes
    /// Scales alone.
    case scales
  }

  /// What is learned: the weights' own layout, codes in place of quantized weights, then each matrix's factors of scales.
  package let layout: ParameterLayout
  private let base: ParameterLayout
  private let checkpoint: Checkpoint
  private let tensors: [any CodedTensor]
  private let plain: [ParameterLayout.Entry]
  /// Where each tensor's factors begin among the parameters.
  private let factors: [Int]
  private let weights: NumberBuffer<Float>

  /// Whether `checkpoint` has quantized matrices.
  package static func suits(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.tensors.contains { $0.format.isQuantized }
  }

  /// Whether it has matrices of uniform codes.
  package static func hasUniformCodes(_ checkpoint: Checkpoint) -> Bool {
    checkpoint.tensors.contains { [.uniform8, .uniform16].contains($0.format) }
  }

  /// The form of a quantized student.
  ///
  /// - Throws: what loading throws; ``TrainingError`` for a format whose scales cannot be changed.
  package init(_ checkpoint: Checkpoint, settings: TrainingSettings) throws {
    self.checkpoint = checkpoint
    var base = ParameterLayout(checkpoint)
    var (tensors, plain): ([any CodedTensor], [ParameterLayout.Entry]) = ([], [])
    let codeRate = settings.codeRate / settings.learningRate
    for (place, tensor) in checkpoint.tensors.enumerated() {
      guard tensor.format.isQuantized else {
        plain.append(base.entries[place])
        continue
      }
      let moves = CodedWeights.movesCodes(of: tensor.format, settings.tuning)
      let coded: (any CodedTensor)? =
        try CodedUniform(tensor, base.entries[place], movesCodes: moves)
        ?? CodedGrid(tensor, base.entries[place], movesCodes: moves)
      guard let coded else {
        throw TrainingError(
          "tensor '\(tensor.name)' is in \(tensor.format.rawValue), whose scales cannot be trained here")
      }
      tensors.append(coded)
      base.entries[place].decays = false
      base.entries[place].rate = moves ? codeRate : 0
      base.entries[place].isCoded = true
    }
    self.base = base
    var (layout, factors) = (base, [Int]())
    for tensor in tensors {
      factors.append(layout.count)
      layout.append(
        tensor.entry.name + " scales", count: tensor.factorCount,
        rate: settings.scaleRate / settings.learningRate)
    }
    (self.layout, self.factors) = (layout, factors)
    (self.tensors, self.plain) = (tensors, plain)
    weights = NumberBuffer(base.count)
  }

  private static func movesCodes(of format: TensorFormat, _ tuning: Tuning) -> Bool {
    switch tuning {
    case .scales: false
    case .codes: true
    case .auto: CodecList.gridCodec(for: format).map { $0.grid.levels.count <= 64 } ?? true
    }
  }

  /// How products of the stored matrices round what they read.
  package var activationRounding: ActivationRounding {
    var result = ActivationRounding()
    for tensor in tensors {
      result.add(
        matrixAt: tensor.entry.offset, isToken: tensor.format == .w8a8, columnScales: tensor.columnScalesInUse
      )
    }
    return result
  }

  /// The codes as they are, all factors of scales 0.
  package func start() throws -> NumberBuffer<Float> {
    let result = NumberBuffer<Float>(layout.count)
    let all = try base.weights(of: checkpoint)
    (result.base).update(from: all.base, count: all.count)
    for tensor in tensors { tensor.writeCodes(to: result.base + tensor.entry.offset) }
    return result
  }

  /// Moves the codes of `parameters` to where the weights of `original`, which has the same tensors, lie between them, as far as they
  /// round to the same codes.
  ///
  /// - Parameter names: the tensors that are moved.
  package func approach(_ original: Checkpoint, _ parameters: NumberBuffer<Float>, names: Set<String>) throws
  {
    for tensor in tensors where tensor.movesCodes && names.contains(tensor.entry.name) {
      guard let weights = original.tensor(tensor.entry.name), weights.shape == tensor.entry.shape else {
        continue
      }
      let values = NumberBuffer(try weights.values())
      tensor.writeNumbers(of: values.base, to: parameters.base + tensor.entry.offset)
    }
  }

  /// The runs of parameters that are codes, and those that are factors of scales.
  package var runs: (codes: [(range: Range<Int>, isSparse: Bool)], factors: [Range<Int>]) {
    (
      tensors.filter(\.movesCodes).map {
        ($0.entry.offset..<$0.entry.offset + $0.entry.count, $0.entry.isSparse)
      },
      zip(tensors, factors).map { $1..<$1 + $0.factorCount }
    )
  }

  /// The weights of rounded codes and scales; valid until the next call.
  package func weights(of parameters: NumberBuffer<Float>) -> NumberBuffer<Float> {
    for entry in plain {
      (weights.base + entry.offset).update(from: parameters.base + entry.offset, count: entry.count)
    }
    for (tensor, place) in zip(tensors, factors) {
      tensor.write(
        codes: parameters.base + tensor.entry.offset, factors: parameters.base + place,
        to: weights.base + tensor.entry.offset)
    }
    return weights
  }

  /// Makes gradients by weights those by codes and by factors.
  package func pull(_ gradients: NumberBuffer<Float>, at parameters: NumberBuffer<Float>) {
    for (tensor, place) in zip(tensors, factors) {
      tensor.pull(
        gradients.base + tensor.entry.offset, codes: parameters.base + tensor.entry.offset,
        factors: parameters.base + place, factorGradient: gradients.base + place)
    }
  }

  /// The parameters as they are stored: codes and factors are rounded where they are used.
  package func settled(_ parameters: NumberBuffer<Float>) -> NumberBuffer<Float> {
    let result = parameters.copy()
    for entry in plain { base.round(entry, parameters, into: result) }
    return result
  }

  /// The student with settled parameters.
  package func storing(_ parameters: NumberBuffer<Float>, in checkpoint: Checkpoint) throws -> Checkpoint {
    try storing(parameters, in: checkpoint, margin: 0)
  }

  /// The student with settled parameters.
  ///
  /// - Parameter margin: how much further than half a code a number must have gone, away from zero, for its code to change.
  package func storing(_ parameters: NumberBuffer<Float>, in checkpoint: Checkpoint, margin: Float) throws
    -> Checkpoint
  {
    var result = try base.storing(parameters, in: checkpoint, only: Set(plain.map(\.name)))
    for (tensor, place) in zip(tensors, factors) {
      guard let index = result.tensors.firstIndex(where: { $0.name == tensor.entry.name }) else { continue }
      let (format, bytes) = try tensor.stored(
        codes: parameters.base + tensor.entry.offset, factors: parameters.base + place, margin: margin)
      result.tensors[index].format = format
      result.tensors[index].bytes = TensorBytes(bytes)
    }
    return result
  }
}
