import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// Chooses what is cut of a model by walking through it, and repairs on the way what reads the cut units.
///
/// The walk runs the whole model with zeros where units are gone, so that each layer is judged and repaired for the inputs that the
/// cut model will give it; sizes change at the end.
final class StructureCutting {
  private let architecture: any ResizableArchitecture
  private let sizes: StructureSizes
  private let importance: UnitElimination.Importance
  private let repairs: Bool
  private let context: PassContext
  private let original: Checkpoint
  /// What the walk goes through: without the blocks that are cut where these cannot be imitated by zeros.
  private var checkpoint: Checkpoint
  /// The blocks of the original that stay, and those of ``checkpoint``.
  private var keptOriginals: [Int] = []
  private var keptBlocks: [Int] = []
  private var width: [Int] = []
  private var heads: [Int: [Int]] = [:]
  private var neurons: [Int: [Int]] = [:]
  private var outcomes: [String: TensorOutcome] = [:]
  private var replaced: [String: StoredTensor] = [:]
  /// How much of the energy of the last hidden states is in the channels that stay.
  private var keptEnergy = 1.0

  init(
    checkpoint: Checkpoint, architecture: any ResizableArchitecture, sizes: StructureSizes,
    importance: UnitElimination.Importance, repairs: Bool, context: PassContext
  ) {
    self.architecture = architecture
    self.sizes = sizes
    self.importance = importance
    self.repairs = repairs
    self.context = context
    original = checkpoint
    self.checkpoint = checkpoint
  }

  /// The smaller model.
  func cut() throws -> PassResult {
    let sweep = try prepare()
    if let sweep {
      var options = CalibrationSweep.Options()
      options.observesOutputs = true
      let spill = TensorSpill()
      try sweep.run(options) { step in
        let made = try self.transform(step)
        for (name, tensor) in made {
          var copy = tensor
          copy.bytes = try spill.keep(try tensor.bytes.load())
          self.replaced[name] = copy
        }
        return made
      }
    } else {
      try cutUnseen()
    }
    var changed = checkpoint
    for place in changed.tensors.indices {
      if let tensor = replaced[changed.tensors[place].name] { changed.tensors[place] = tensor }
    }
    if repairs { try rescaleNorms(&changed) }
    var cut = StructureCut(blocks: keptBlocks)
    cut.width = width
    if sizes.kept[.heads] != nil { cut.heads = keptBlocks.map { heads[$0] ?? [] } }
    if sizes.kept[.neurons] != nil { cut.neurons = keptBlocks.map { neurons[$0] ?? [] } }
    var result = PassResult(checkpoint: try changed.cutting(cut), plan: PassPlan(entries: []))
    if repairs, sweep != nil, let plain = try plainIfBetter(than: result.checkpoint, cut) {
      result.checkpoint = plain
      result.notes.append(
        "not repaired: on held-out calibration text the plain cut was better; calibrate on more")
    } else {
      result.outcomes = renamedOutcomes()
    }
    if keptOriginals.count < architecture.blockCount {
      let gone = Set(0..<architecture.blockCount).subtracting(keptOriginals).sorted()
      result.notes.append("layers cut: \(gone.map(String.init).joined(separator: ", ")), counted from 0")
    }
    if sweep == nil {
      result.notes.append("cut by the weights alone and not repaired: the model was not observed")
    }
    return result
  }

  /// The cut without repairs where it predicts held-out text better: with little text, least squares learns its noise.
  private func plainIfBetter(than repaired: Checkpoint, _ cut: StructureCut) throws -> Checkpoint? {
    let sequences = context.calibration?.heldOut ?? []
    guard !architecture.isEncoder, !sequences.isEmpty else { return nil }
    let plain = try checkpoint.cutting(cut)
    return try BlockImportance.loss(plain, on: sequences) < BlockImportance.loss(repaired, on: sequences)
      ? plain : nil
  }

  // MARK: Choices before the walk

  private func prepare() throws -> CalibrationSweep? {
    let all = architecture.blockCount
    keptOriginals = Array(0..<all)
    guard let calibration = context.calibration, !calibration.sequences.isEmpty,
      CalibrationSweep(original, calibration: calibration, context: context) != nil
    else {
      // The last blocks but the very last, which nothing says is not needed.
      let first = max(0, sizes.blocks - 1)
      if sizes.blocks < all { keptOriginals = Array(0..<first) + [all - 1] }
      keptBlocks = keptOriginals
      if let count = sizes.kept[.width] { width = try magnitudes(count) }
      return nil
    }
    if sizes.blocks < all {
      keptOriginals = try BlockImportance(
        checkpoint: original, architecture: architecture, calibration: calibration, context: context
      ).kept(sizes.blocks)
    }
    keptBlocks = keptOriginals
    if !architecture.blocksAddToStream, sizes.blocks < all {
      checkpoint = try original.cutting(StructureCut(blocks: keptOriginals))
      keptBlocks = Array(0..<sizes.blocks)
    }
    guard let sweep = CalibrationSweep(checkpoint, calibration: calibration, context: context) else {
      return nil
    }
    if let count = sizes.kept[.width] { width = try channels(count, sweep) }
    return sweep
  }

  /// The channels with the largest activations behind the norms, all blocks together.
  private func channels(_ count: Int, _ sweep: CalibrationSweep) throws -> [Int] {
    let units = architecture.unitCount(.width) ?? 0
    var scores = [Double](repeating: 0, count: units)
    let readers = Set(residualReaders)
    try sweep.observe { step in
      guard let name = step.layers.first?.name, readers.contains(name), step.observation.tokens > 0 else {
        return
      }
      for (channel, value) in step.observation.diagonal.enumerated() where channel < units {
        scores[channel] += Double(max(0, value)).squareRoot()
      }
    }
    return Array((0..<units).sorted { (scores[$1], $0) < (scores[$0], $1) }.prefix(count)).sorted()
  }

  private var residualReaders: [String] {
    architecture.coupledTensors(.width, block: 0).filter { $0.axis == .columns }.map(\.name).filter {
      checkpoint.role(of: $0).isLinear
    }
  }

  // MARK: The walk

  private func transform(_ step: CalibrationSweep.Step) throws -> [String: StoredTensor] {
    if step.block == nil { return try transformOuter(step) }
    var result: [String: StoredTensor] = [:]
    for layer in step.layers {
      let (name, weights) = (layer.name, try layer.weights)
      let role = checkpoint.role(of: name)
      let block = step.block ?? 0
      if !keptBlocks.contains(block) {
        guard role == .attentionOutput || role == .down else { continue }
        result[name] = try stored(Matrix(rows: weights.rows, columns: weights.columns), name)
        continue
      }
      let kept = try columns(of: name, role, block, weights, step.observation)
      guard var repaired = try repaired(weights, step.observation, kept: kept, name) else { continue }
      // What writes into the stream writes nothing into channels that are gone.
      if !width.isEmpty, role == .attentionOutput || role == .down {
        let alive = Set(width)
        for row in 0..<repaired.rows where !alive.contains(row) {
          for column in 0..<repaired.columns { repaired[row, column] = 0 }
        }
      }
      result[name] = try stored(repaired, name)
    }
    return result
  }

  /// The columns of a layer that are left, chosen where units of this layer's inputs are cut.
  private func columns(
    of name: String, _ role: TensorRole, _ block: Int, _ weights: Matrix, _ observation: LayerObservation
  ) throws -> [Int] {
    switch role {
    case .attentionOutput, .down:
      let kind: StructureKind = role == .down ? .neurons : .heads
      guard let count = sizes.kept[kind], let units = architecture.unitCount(kind) else { break }
      let length = weights.columns / units
      let chosen = try UnitElimination(weights: weights, gram: observation.gram, length: length).kept(
        count, by: importance)
      if kind == .heads { heads[block] = chosen } else { neurons[block] = chosen }
      return chosen.flatMap { $0 * length..<($0 + 1) * length }
    default:
      if !width.isEmpty { return width }
    }
    return Array(0..<weights.columns)
  }

  /// A layer for the columns that are left; nil where it stays as it is.
  private func repaired(
    _ weights: Matrix, _ observation: LayerObservation, kept: [Int], _ name: String
  ) throws -> Matrix? {
    let isWhole = kept.count == weights.columns
    let repair = InputRepair(weights, observation: observation, kept: kept)
    guard repairs else { return isWhole && width.isEmpty ? nil : repair.plain }
    if isWhole, observation.cross.isEmpty, width.isEmpty { return nil }
    let best = try repair.best()
    outcomes[name] = TensorOutcome(
      method: best.choice == nil ? "cut" : "repaired", heldOutError: best.error, plainError: best.plainError,
      blend: best.choice?.blend)
    return best.weights
  }

  /// Embedding and output.
  private func transformOuter(_ step: CalibrationSweep.Step) throws -> [String: StoredTensor] {
    guard !width.isEmpty, let layer = step.layers.first else { return [:] }
    let (name, weights) = (layer.name, try layer.weights)
    let isEmbedding = checkpoint.role(of: name) == .tokenEmbedding
    if step.observation.tokens > 0, isEmbedding { measureEnergy(step.observation) }
    let repair = InputRepair(weights, observation: step.observation, kept: width)
    let matrix = isEmbedding || !repairs ? repair.plain : try repair.best().weights
    return [name: try stored(matrix, name)]
  }

  /// A tensor of these numbers in the format that it had.
  private func stored(_ matrix: Matrix, _ name: String) throws -> StoredTensor {
    guard let tensor = checkpoint.tensor(name) else { throw PassError("tensor '\(name)' is missing") }
    var result = tensor
    result.bytes = TensorBytes(try TensorCoding.encode(matrix, format: tensor.format))
    return result
  }

  // MARK: Norms

  /// Of a tied output's inputs: how much is in the channels that stay, the norm's weights taken out.
  private func measureEnergy(_ observation: LayerObservation) {
    guard let name = architecture.blockwise?.outputNormNames.first,
      let norm = try? checkpoint.tensor(name)?.values(), norm.count == observation.width
    else { return }
    let energies = zip(observation.diagonal, norm).map { value, weight -> Double in
      let scale = Double(weight)
      return scale == 0 ? 0 : Double(value) / (scale * scale)
    }
    let all = energies.reduce(0, +)
    if all > 0 { keptEnergy = width.reduce(0.0) { $0 + energies[$1] } / all }
  }

  /// A norm divides by the root of the *mean* square: over fewer channels it is larger than in the walk, where they were zero.
  private func rescaleNorms(_ checkpoint: inout Checkpoint) throws {
    guard !width.isEmpty, let units = architecture.unitCount(.width) else { return }
    let factor = (Double(units) / Double(width.count)).squareRoot()
    let last = Set(architecture.blockwise?.outputNormNames ?? [])
    for member in architecture.coupledTensors(.width, block: 0) where member.axis == .rows {
      guard let place = checkpoint.tensors.firstIndex(where: { $0.name == member.name }),
        checkpoint.role(of: member.name) == .norm
      else { continue }
      let isLast = last.contains(member.name) && checkpoint.isTied
      let scale = Float(factor * (isLast ? keptEnergy.squareRoot() : 1))
      let tensor = checkpoint.tensors[place]
      let values = try tensor.values().map { $0 * scale }
      checkpoint.tensors[place].bytes = TensorBytes(
        try TensorCoding.encode(
          Matrix(rows: 1, columns: values.count, elements: values), format: tensor.format))
    }
  }

  // MARK: Without a walk

  /// Units by the squares of the weights that read them.
  private func cutUnseen() throws {
    for (kind, roles) in [(StructureKind.heads, TensorRole.attentionOutput), (.neurons, .down)] {
      guard let count = sizes.kept[kind], let units = architecture.unitCount(kind) else { continue }
      for block in keptBlocks {
        let reader = architecture.coupledTensors(kind, block: block).first {
          checkpoint.role(of: $0.name) == roles
        }
        guard let tensor = reader.flatMap({ checkpoint.tensor($0.name) }) else { continue }
        let weights = try CalibrationSweep.matrix(tensor)
        let kept = UnitElimination(
          weights: weights, gram: Self.identity(of: weights), length: weights.columns / units)
        let chosen = try kept.kept(count, by: .activation)
        if kind == .heads { heads[block] = chosen } else { neurons[block] = chosen }
      }
    }
  }

  /// A diagonal matrix of the columns' squares, which stands for activations that nobody saw.
  private static func identity(of weights: Matrix) -> [Float] {
    let n = weights.columns
    var gram = [Float](repeating: 0, count: n * n)
    for row in 0..<weights.rows {
      for column in 0..<n { gram[column * n + column] += weights[row, column] * weights[row, column] }
    }
    return gram
  }

  private func magnitudes(_ count: Int) throws -> [Int] {
    let units = architecture.unitCount(.width) ?? 0
    var scores = [Double](repeating: 0, count: units)
    for name in residualReaders {
      guard let tensor = checkpoint.tensor(name) else { continue }
      let weights = try CalibrationSweep.matrix(tensor)
      for (place, value) in weights.elements.enumerated() {
        scores[place % units] += Double(value) * Double(value)
      }
    }
    return Array((0..<units).sorted { (scores[$1], $0) < (scores[$0], $1) }.prefix(count)).sorted()
  }

  /// Outcomes under the names that tensors have in the smaller model.
  private func renamedOutcomes() -> [String: TensorOutcome] {
    var result: [String: TensorOutcome] = [:]
    let places = Dictionary(uniqueKeysWithValues: keptBlocks.enumerated().map { ($1, $0) })
    for (name, outcome) in outcomes {
      guard
        let block = places.keys.first(where: { name.hasPrefix(architecture.blockPrefix($0)) }),
        let place = places[block]
      else { continue }
      result[architecture.blockPrefix(place) + name.dropFirst(architecture.blockPrefix(block).count)] =
        outcome
    }
    return result
  }
}
