import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// What each format would cost each group of layers: bytes in the artifact, and KL divergence.
///
/// The divergence of a group is measured once, with the group rounded plainly to one format and all else as it was
/// (``SensitivityProbe``). Other formats' follow in proportion to E ‖ΔW x‖², in which error feedback leaves L_jj² of a
/// column's E[x_j²] (``FeedbackFactor``).
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
  /// The format that is probed.
  private static let probed = TensorFormat.q4_k

  let groups: [Group]

  /// Observes and probes the model.
  ///
  /// - Parameter chosen: the names of the tensors that get a format; the others stay as they are.
  init(
    _ checkpoint: Checkpoint, calibration: CalibrationSet, chosen: Set<String>, level: Int,
    context: PassContext
  )
    throws
  {
    var probeContext = context
    let sequences = FormatLosses.probeSequences(calibration)
    probeContext.progress = { try context.progress("probe", $1 / 2) }
    guard let probe = try SensitivityProbe(checkpoint, sequences: sequences, context: probeContext),
      let sweep = CalibrationSweep(checkpoint, calibration: calibration, context: context)
    else {
      throw PassError("the model cannot be run, so no format can be measured; give one with --int4 or --int8")
    }
    let stored = Dictionary(checkpoint.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    var groups: [Group] = []
    try sweep.observe { step in
      let layers = step.layers.filter { chosen.contains($0.name) }
      guard !layers.isEmpty else { return }
      let factor =
        step.observation.tokens > 0
        ? try FeedbackFactor(gram: step.observation.gram, count: step.observation.width) : nil
      var probes: [String: StoredTensor] = [:]
      var energy = 0.0
      for (name, weights) in layers {
        guard var tensor = stored[name] else { continue }
        let format = FormatPlan.fallback(for: FormatLosses.probed, rowLength: weights.columns).format
        let bytes = try TensorCoding.encode(weights, format: format)
        energy += try FormatLosses.energy(of: bytes, format, weights, gram: step.observation.gram)
        tensor.format = format
        tensor.bytes = TensorBytes(bytes)
        probes[name] = tensor
      }
      let divergence = try probe.divergence(block: step.block, replaced: probes)
      let slope = energy > 0 ? max(0, divergence) / energy : 0
      groups.append(
        Group(
          names: layers.map(\.name),
          options: try FormatLosses.options(
            layers, stored, residual: factor?.residual, slope: slope, level: level)))
    }
    self.groups = groups
  }

  /// Up to 4096 tokens, spread over all sequences.
  private static func probeSequences(_ calibration: CalibrationSet) -> [[Int]] {
    let all = calibration.sequences
    let stride = max(1, calibration.tokenCount / 4096)
    return all.indices.filter { $0 % stride == 0 }.map { all[$0] }
  }

  private static func options(
    _ layers: [(name: String, weights: Matrix)], _ stored: [String: StoredTensor], residual: [Float]?,
    slope: Double, level: Int
  ) throws -> [Option] {
    var options: [Option] = []
    for candidate in candidates {
      var option = Option(formats: [:], cost: .init(bytes: 0, loss: 0))
      for (name, weights) in layers {
        let format = FormatPlan.fallback(for: candidate, rowLength: weights.columns).format
        option.formats[name] = format
        let sample = weights.sampled(sampleRows)
        let bytes = try TensorCoding.encode(sample, format: format, importance: nil)
        let scale = Double(weights.rows) / Double(max(1, sample.rows))
        option.cost.bytes += Int(Double(try PackedSize.of(bytes, level: level)) * scale)
        option.cost.loss += slope * scale * (try columnError(of: bytes, format, sample, weights: residual))
      }
      if !options.contains(where: { $0.formats == option.formats }) { options.append(option) }
    }
    return options
  }

  /// Σ over rows and columns of weight_j (w − q)².
  private static func columnError(
    of bytes: ByteRegion, _ format: TensorFormat, _ weights: Matrix, weights columns: [Float]?
  ) throws -> Double {
    let decoded = try TensorCoding.decode(bytes, format: format, rows: weights.rows, columns: weights.columns)
    var sum = 0.0
    for row in 0..<weights.rows {
      var part: Float = 0
      for column in 0..<weights.columns {
        let place = row * weights.columns + column
        let error = weights.elements[place] - decoded.elements[place]
        part += (columns?[column] ?? 1) * error * error
      }
      sum += Double(part)
    }
    return sum
  }

  /// tr ΔW H ΔWᵀ: E ‖ΔW x‖².
  private static func energy(
    of bytes: ByteRegion, _ format: TensorFormat, _ weights: Matrix, gram: [Float]
  ) throws -> Double {
    guard !gram.isEmpty else { return try columnError(of: bytes, format, weights, weights: nil) }
    var error = try TensorCoding.decode(bytes, format: format, rows: weights.rows, columns: weights.columns)
    for place in error.elements.indices { error.elements[place] -= weights.elements[place] }
    return error.quadraticForm(gram)
  }
}
