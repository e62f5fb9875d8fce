package import ModelFiles
import Models
import TensorCore

/// A training half done: weights, moments, and the place in the text. Kept in one safetensors file, written whole or not at all.
package struct TrainingState {
  /// How far it is.
  package struct Progress: Sendable, Equatable {
    package var step = 0
    package var epoch = 0
    package var place = 0
    package var seconds = 0.0
    package var bestStep = 0
    package var bestValue = Double.infinity
    package var stale = 0
    package var curve: [TrainingPoint] = []
    /// Since the last test.
    var losses = 0.0
    var lossCount = 0
    var tokens = 0
    var testedAt = 0.0
    var testedFraction = 0.0

    /// The beginning.
    package init() {}
  }

  let weights, best, first, second: NumberBuffer<Float>
  /// What ``LearnedProjections`` keeps; nil where there are none.
  let projections: NumberBuffer<Float>?
  /// How far it is.
  package let progress: Progress

  init(
    weights: NumberBuffer<Float>, best: NumberBuffer<Float>, first: NumberBuffer<Float>,
    second: NumberBuffer<Float>, projections: NumberBuffer<Float>? = nil,
    progress: Progress
  ) {
    self.projections = projections
    (self.weights, self.best, self.first, self.second) = (weights, best, first, second)
    self.progress = progress
  }

  /// The file in a state folder.
  package static func path(in folder: String) -> String { folder + "/training.safetensors" }

  /// Writes the file.
  ///
  /// - Parameters:
  ///   - identity: what tells this training from others.
  ///   - remarks: what whoever goes on needs to know besides.
  package func write(to path: String, identity: String, remarks: JSONValue) throws {
    var parts = [("weights", weights), ("best", best), ("first", first), ("second", second)]
    if let projections { parts.append(("projections", projections)) }
    let tensors = parts.map { name, numbers in
      StoredTensor(
        name: name, shape: [numbers.count], format: .f32,
        bytes: TensorBytes(
          ByteRegion(base: UnsafeRawPointer(numbers.base), count: numbers.count * 4, owner: numbers)))
    }
    let layout = try SafetensorsWriter.layout(
      tensors: tensors,
      metadata: [
        "identity": identity, "progress": progress.json.text(sortedKeys: true),
        "remarks": remarks.text(sortedKeys: true),
      ], path: path)
    var file = try AtomicFile(path: path)
    do { try layout.write(to: &file) } catch {
      file.discard()
      throw error
    }
    try file.commit()
  }

  /// Reads the file.
  ///
  /// - Throws: ``TrainingError`` when it is another training's, or damaged.
  package static func read(_ path: String, identity: String) throws -> (
    state: TrainingState, remarks: JSONValue
  ) {
    let file = try MappedFile(path: path)
    let index = try SafetensorsFile.read(file)
    let metadata = index.textMetadata
    guard metadata["identity"] == identity else {
      throw TrainingError(
        "\(path): this training is that of another model, text or recipe; leave --resume out to begin anew")
    }
    guard let text = metadata["progress"], let progress = Progress(try JSONValue(parsing: text)) else {
      throw TrainingError("\(path): the saved training is damaged; leave --resume out to begin anew")
    }
    func numbers(_ name: String) throws -> NumberBuffer<Float> {
      guard let tensor = index.tensors.first(where: { $0.name == name }), tensor.format == .f32 else {
        throw TrainingError("\(path): '\(name)' is missing; leave --resume out to begin anew")
      }
      return NumberBuffer(try tensor.values())
    }
    let remarks = try metadata["remarks"].map { try JSONValue(parsing: $0) } ?? .null
    return (
      TrainingState(
        weights: try numbers("weights"), best: try numbers("best"), first: try numbers("first"),
        second: try numbers("second"),
        projections: index.tensors.contains { $0.name == "projections" } ? try numbers("projections") : nil,
        progress: progress), remarks
    )
  }
}

extension TrainingState.Progress {
  /// Numbers with all their bits.
  fileprivate var json: JSONValue {
    func exact(_ value: Double) -> JSONValue { .string(String(value.bitPattern, radix: 16)) }
    let points = curve.map { point -> JSONValue in
      .array(
        [
          Double(point.step), point.loss, point.heldOutKLD, point.heldOutLoss, point.heldOutDistance,
          point.learningRate, point.tokensPerSecond,
        ].map { exact($0 ?? .nan) })
    }
    return .object(
      JSONObject([
        ("step", .integer(step)), ("epoch", .integer(epoch)), ("place", .integer(place)),
        ("bestStep", .integer(bestStep)), ("stale", .integer(stale)), ("lossCount", .integer(lossCount)),
        ("tokens", .integer(tokens)), ("seconds", exact(seconds)), ("bestValue", exact(bestValue)),
        ("losses", exact(losses)), ("testedAt", exact(testedAt)), ("testedFraction", exact(testedFraction)),
        ("curve", .array(points)),
      ]))
  }

  fileprivate init?(_ json: JSONValue) {
    func exact(_ value: JSONValue?) -> Double? {
      value?.stringValue.flatMap { UInt64($0, radix: 16) }.map { Double(bitPattern: $0) }
    }
    func whole(_ key: String) -> Int? { json[key]?.intValue.flatMap { $0 >= 0 ? $0 : nil } }
    guard let step = whole("step"), let epoch = whole("epoch"), let place = whole("place"),
      let bestStep = whole("bestStep"), let stale = whole("stale"), let lossCount = whole("lossCount"),
      let tokens = whole("tokens"), let seconds = exact(json["seconds"]),
      let bestValue = exact(json["bestValue"]), let losses = exact(json["losses"]),
      let testedAt = exact(json["testedAt"]), let testedFraction = exact(json["testedFraction"]),
      let points = json["curve"]?.arrayValue
    else { return nil }
    (self.step, self.epoch, self.place) = (step, epoch, place)
    (self.bestStep, self.stale, self.lossCount, self.tokens) = (bestStep, stale, lossCount, tokens)
    (self.seconds, self.bestValue, self.losses) = (seconds, bestValue, losses)
    (self.testedAt, self.testedFraction) = (testedAt, testedFraction)
    for point in points {
      let numbers = (point.arrayValue ?? []).compactMap { exact($0) }
      guard numbers.count == 7, let step = Int(exactly: numbers[0]) else { return nil }
      func number(_ place: Int) -> Double? { numbers[place].isNaN ? nil : numbers[place] }
      curve.append(
        TrainingPoint(
          step: step, loss: number(1), heldOutKLD: number(2), heldOutLoss: number(3),
          heldOutDistance: number(4), learningRate: numbers[5], tokensPerSecond: number(6)))
    }
  }
}
