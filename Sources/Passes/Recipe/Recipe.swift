public import ModelFiles
public import Models

/// What a run does: the stages in order, the container of the artifacts, how they are evaluated.
///
/// ```yaml
/// version: 1
/// format: gguf
/// stages:
///   - quantize: {format: int4}
/// calibration: {text: notes.txt, tokens: 32768}
/// evaluation: {context: 512, tokens: 16384}
/// ```
public struct Recipe: Sendable {
  /// The version of the recipe language.
  public static let currentVersion = 1
  /// A short name for the run's folder: the stages' labels.
  public var name: String { stages.isEmpty ? "baseline" : stages.map(\.label).joined(separator: "-") }
  /// The container of the artifacts.
  public var container = OutputContainer.gguf
  /// How quantized matrices lie in safetensors; nil for what suits their formats.
  public var layout: PackedLayout?
  /// The program that artifacts are made for; nil for any.
  public var loader: Loader?
  /// The passes after the baseline.
  public var stages: [any Pass]
  /// How every stage is evaluated.
  public var evaluation = EvaluationPlan()
  /// What passes that look at the model at work observe it on.
  public var calibration = CalibrationPlan()
  /// What passes that train learn from.
  public var training = CalibrationPlan.training
  /// The harm that the last stage may do.
  public var budget = QualityBudget()
  /// The seed of everything random.
  public var seed = 0
  /// The zstd level of the artifacts.
  public var level: Int?

  /// A recipe of `stages`.
  public init(stages: [any Pass]) { self.stages = stages }
}

/// The kinds of file an artifact decodes to.
public enum OutputContainer: String, Sendable, CaseIterable {
  case gguf, safetensors
}

/// How stages are evaluated.
public struct EvaluationPlan: Sendable, Equatable {
  /// The text or sentence pairs, as a path; nil for the text that the program carries.
  public var text: String?
  /// Tokens a chunk, BOS included; nil for the smaller of 512 and what the model can.
  public var context: Int?
  /// The most tokens to read.
  public var tokens = 16384
  /// Whether these are taken from all over the text, not from its beginning; nil for the default: with a budget they are.
  public var spread: Bool?
  /// Whether latency is measured.
  public var latency = true
  /// Other numbers of threads that latency is measured with; nil for one thread where that is quick.
  public var threadsSweep: [Int]?
  /// Whether a pruned model is compared with one that is only quantized, at equal bytes and at equal latency.
  public var frontier = true
  /// How the model keeps keys and values; no part of a recipe, which measures with ``KVPrecision/f32``.
  public var cache = KVPrecision.f32
  /// What activations become before they meet quantized weights.
  public var activations = ActivationPrecision.int8

  /// The defaults.
  public init() {}
}

extension Recipe {
  private static let keys = [
    "version", "format", "layout", "for", "stages", "calibration", "training", "evaluation", "budget", "seed",
    "level",
  ]

  /// Reads a recipe from YAML text. Unknown keys, wrong types and values out of range are errors with their line.
  public init(yaml text: String, path: String) throws(RecipeError) {
    var top = try RecipeMapping.parse(text, path: path)
    if let version = try top.integer("version", in: 1...1_000_000), version != Recipe.currentVersion {
      throw top.failure(
        "recipe version \(version) is not known; this program reads version \(Recipe.currentVersion)")
    }
    if let name = try top.string("format") {
      guard let container = OutputContainer(rawValue: name) else {
        throw top.failure("unknown format '\(name)'; known are gguf, safetensors")
      }
      self.container = container
    }
    if let name = try top.string("layout") {
      guard let layout = PackedLayout(rawValue: name) else {
        throw top.failure(
          "unknown layout '\(name)'; known are \(PackedLayout.allCases.map(\.rawValue).joined(separator: ", "))"
        )
      }
      self.layout = layout
    }
    if let name = try top.string("for") {
      guard let loader = Loader(rawValue: name) else {
        throw top.failure(
          "unknown loader '\(name)'; known are \(Loader.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      self.loader = loader
      if !top.keys.contains("format") { container = LoaderRules.of(loader).containers[0] }
    }
    stages = []
    for stage in try top.mappings("stages") ?? [] { stages.append(try PassList.pass(from: stage)) }
    if var section = try top.mapping("calibration") { calibration = try CalibrationPlan(&section) }
    if var section = try top.mapping("training") {
      training = try CalibrationPlan(&section, isForTraining: true)
    }
    if var section = try top.mapping("evaluation") { evaluation = try EvaluationPlan(&section) }
    if var section = try top.mapping("budget") { budget = try QualityBudget(&section) }
    seed = try top.integer("seed", in: 0...Int(Int32.max)) ?? 0
    level = try top.integer("level", in: 1...22)
    try top.finish(known: Recipe.keys)
  }

  /// The recipe with every default written out, as a value with sorted keys (for manifests and hashes).
  public var json: JSONValue {
    var top = JSONObject([
      ("version", .integer(Recipe.currentVersion)), ("format", .string(container.rawValue)),
      ("seed", .integer(seed)), ("evaluation", evaluation.json),
      ("stages", .array(stages.map { .object(JSONObject([(type(of: $0).name, $0.options)])) })),
    ])
    if let level { top["level"] = .integer(level) }
    if let layout { top["layout"] = .string(layout.rawValue) }
    if let loader { top["for"] = .string(loader.rawValue) }
    if observes { top["calibration"] = calibration.json }
    if trains { top["training"] = training.json }
    if !budget.isEmpty { top["budget"] = budget.json }
    return .object(top)
  }

  /// Whether a stage looks at the model at work, so that there has to be a calibration text.
  public var observes: Bool { stages.contains { $0.needs > .nothing } }

  /// Whether the finished model is compared with one that is only quantized.
  public var comparesPruning: Bool {
    evaluation.frontier && stages.contains { $0 is PrunePass || $0 is StructurePass }
  }

  /// Whether a stage trains, so that there has to be a text to learn from.
  public var trains: Bool { stages.contains { $0.trains } }

  /// The part of ``json`` that the artifacts' bytes follow from: how they are evaluated is left out, so artifacts do not
  /// depend on it. So is the calibration text's path, which is no part of what it says.
  public var transformation: JSONValue {
    guard case .object(var top) = json else { return .null }
    top["evaluation"] = nil
    top["budget"] = nil
    for (key, plan, isUsed) in [("calibration", calibration, observes), ("training", training, trains)] {
      guard isUsed, case .object(var section) = plan.json else { continue }
      section["text"] = plan.isSelf ? .string(CalibrationPlan.selfSource) : nil
      section["allow-overlap"] = nil
      top[key] = .object(section)
    }
    return .object(top)
  }

  /// The recipe with every default written out, as YAML that ``init(yaml:path:)`` reads back.
  public var yaml: String {
    var lines = ["# The resolved recipe of a run: `compress --recipe recipe.yaml MODEL` repeats it."]
    lines += ["version: \(Recipe.currentVersion)", "format: \(container.rawValue)", "seed: \(seed)"]
    if let level { lines.append("level: \(level)") }
    if let layout { lines.append("layout: \(layout.rawValue)") }
    if let loader { lines.append("for: \(loader.rawValue)") }
    if observes { lines.append("calibration: \(calibration.json.text())") }
    if trains { lines.append("training: \(training.json.text())") }
    lines.append("evaluation: \(evaluation.json.text())")
    if !budget.isEmpty { lines.append("budget: \(budget.json.text())") }
    lines.append(stages.isEmpty ? "stages: []" : "stages:")
    for stage in stages { lines.append("  - \(type(of: stage).name): \(stage.options.text())") }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension EvaluationPlan {
  init(_ section: inout RecipeMapping) throws(RecipeError) {
    self.init()
    text = try section.string("text")
    context = try section.integer("context", in: 8...1_048_576)
    tokens = try section.integer("tokens", in: 16...1_000_000_000) ?? tokens
    spread = try section.boolean("spread")
    latency = try section.boolean("latency") ?? latency
    threadsSweep = try section.integers("threads-sweep", in: 1...128)
    frontier = try section.boolean("frontier") ?? frontier
    if let name = try section.string("activations") {
      guard let precision = ActivationPrecision(rawValue: name) else {
        throw section.failure("unknown activations '\(name)'; known are int8, f32")
      }
      activations = precision
    }
    try section.finish(
      known: [
        "text", "context", "tokens", "spread", "latency", "threads-sweep", "frontier", "activations",
      ])
  }

  var json: JSONValue {
    var object = JSONObject([
      ("tokens", .integer(tokens)), ("latency", .bool(latency)),
      ("activations", .string(activations.rawValue)),
    ])
    if let text { object["text"] = .string(text) }
    if let context { object["context"] = .integer(context) }
    if let spread { object["spread"] = .bool(spread) }
    if let threadsSweep { object["threads-sweep"] = .array(threadsSweep.map { .integer($0) }) }
    if !frontier { object["frontier"] = .bool(false) }
    return .object(object)
  }
}

extension Recipe {
  /// Lets every quantize stage take tensors that are quantized already.
  public mutating func allowRequantize() {
    stages = stages.map { stage in
      if var quantize = stage as? QuantizePass {
        quantize.allowRequantize = true
        return quantize
      }
      guard var ship = stage as? ShipPass else { return stage }
      ship.allowRequantize = true
      return ship
    }
  }

  /// The recipe with widths written as the formats that the container has for them: in safetensors, `int4` is groups of 128
  /// and `int8` one scale a row.
  public func resolved() -> Recipe {
    guard container == .safetensors else { return self }
    var result = self
    result.stages = stages.map { stage in
      guard var quantize = stage as? QuantizePass else { return stage }
      quantize.target = quantize.target.inSafetensors
      return quantize
    }
    return result
  }
}
