import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// What each format would cost each group of layers: bytes in the artifact, and KL divergence.
///
/// The divergence is ½ Σ G_rr Σ L_jj² (w − q)²_rj: the Fisher information G of a layer's outputs (``PredictionSensitivity``),
/// and what error feedback leaves of the inputs' mean squares (``FeedbackFactor/residual``). Weights are rounded plainly for
/// it, on some of the rows; feedback changes which errors are made, hardly how large they are.
struct FormatLosses {
  /// Layers that get one format: those of one step.
  struct Group {
    var names: [String]
    var options: [Option]
  }

  /// One format for a group.
  struct Option {
    /// The format of each layer, by name; fallbacks applied.
    var formats: [String: TensorFormat]
    var cost: Allocation.Option
  }

  /// The formats that groups choose from, the smallest first.
  static let candidates: [TensorFormat] = [.q3_k, .iq4_xs, .q4_k, .q5_k, .q6_k, .q8_0]
  /// The rows of a layer that errors and sizes are estimated from.
  private static let sampleRows = 256

  let groups: [Group]
  /// Whether losses are in nats; without gradients they are relative errors of layers' outputs.
  let isMeasured: Bool

  /// Observes the model.
  ///
  /// - Parameter chosen: the names of the tensors that get a format; the others stay as they are.
  init(
    _ checkpoint: Checkpoint, calibration: CalibrationSet, chosen: Set<String>, level: Int,
    context: PassContext
  )
    throws
  {
    guard let sweep = CalibrationSweep(checkpoint, calibration: calibration, context: context) else {
      throw PassError(
        "the model cannot be run, so no format can be measured; give one with --int4 or --int8")
    }
    let costs = ShippingCosts(
      sensitivity: try PredictionSensitivity(checkpoint, calibration: calibration, context: context))
    var groups: [Group] = []
    let sparse = Set(checkpoint.tensors.filter(\.isSparse).map(\.name))
    try sweep.observe { step in
      let layers = step.layers.filter { chosen.contains($0.name) }
      guard let first = layers.first else { return }
      let (width, isSeen) = (first.columns, step.observation.tokens > 0)
      let gram = isSeen ? step.observation.gram : [Float](repeating: 0, count: width * width)
      let inputs = costs.inputMatrix(
        gram: gram, count: width,
        isEmbedding: step.block == nil && checkpoint.role(of: first.name) == .tokenEmbedding)
      let columns = try FeedbackFactor(gram: inputs, count: width).residual
      var weighted: [WeightedLayer] = []
      for layer in layers {
        let (name, weights) = (layer.name, try layer.weights)
        let own =
          step.block == nil
          ? (isSeen ? costs.vocabulary(rows: weights.rows) : costs.lookups(rows: weights.rows)) : nil
        let outputs = try own ?? costs.outputWeights(of: name, weights: weights) { inputs }
        weighted.append(WeightedLayer(name, weights, rows: outputs, columns: columns))
      }
      groups.append(
        Group(
          names: layers.map(\.name),
          options: try FormatLosses.options(weighted, sparse: sparse, level: level)))
    }
    self.groups = groups
    isMeasured = costs.sensitivity != nil
  }

  /// Some rows of a layer, and what errors in them cost.
  private struct WeightedLayer {
    let name: String
    let sample: Matrix
    /// How many rows one of the sample stands for.
    let scale: Double
    let rows: [Double]
    let columns: [Float]

    init(_ name: String, _ weights: Matrix, rows: [Double], columns: [Float]) {
      let places = Matrix.sampledPlaces(weights.rows, FormatLosses.sampleRows)
      self.name = name
      sample = weights.sampled(FormatLosses.sampleRows)
      scale = Double(weights.rows) / Double(max(1, places.count))
      self.rows = places.map { rows[$0] }
      self.columns = columns
    }

    /// ½ Σ G_rr Σ L_jj² (w − q)²_rj of all rows.
    func loss(of bytes: ByteRegion, _ format: TensorFormat) throws -> Double {
      let decoded = try TensorCoding.decode(bytes, format: format, rows: sample.rows, columns: sample.columns)
      var sum = 0.0
      for row in 0..<sample.rows {
        var part = 0.0
        for (column, weight) in columns.enumerated() {
          let error = Double(sample[row, column] - decoded[row, column])
          part += Double(weight) * error * error
        }
        sum += rows[row] * part
      }
      return sum * scale / 2
    }
  }

  /// - Parameter sparse: the layers whose zeros have to stay, so that formats without a zero are not for them.
  private static func options(_ layers: [WeightedLayer], sparse: Set<String>, level: Int) throws -> [Option] {
    var options: [Option] = []
    for candidate in candidates {
      var option = Option(formats: [:], cost: .init(bytes: 0, loss: 0))
      for layer in layers {
        var format = FormatPlan.fallback(for: candidate, rowLength: layer.sample.columns).format
        if sparse.contains(layer.name) {
          format =
            FormatPlan.fallback(
              for: FormatPlan.holdingZeros(format), rowLength: layer.sample.columns
            ).format
        }
        option.formats[layer.name] = format
        let bytes = try TensorCoding.encode(layer.sample, format: format)
        option.cost.bytes += Int(Double(try PackedSize.of(bytes, level: level)) * layer.scale)
        option.cost.loss += try layer.loss(of: bytes, format)
      }
      if !options.contains(where: { $0.formats == option.formats }) { options.append(option) }
    }
    return options
  }
}
