import Compression
import Evaluation
import Foundation
import ModelFiles
import Models
import Passes
import Reporting
import TensorCore
import Testing
import Training

/// Whole jobs that distil the reference model.
@Suite("Distillation jobs", .serialized)
struct DistillJobTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path
  private static let model = root + "/Calibration/reference/model.bin"

  private func run(
    _ stages: [any Pass], in container: OutputContainer = .gguf,
    _ observer: @escaping JobObserver = { _ in }
  ) throws -> (reports: [StageReport], shipped: Checkpoint, artifact: Data) {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-distil-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var recipe = Recipe(stages: stages)
    recipe.container = container
    recipe.evaluation.tokens = 2048
    recipe.evaluation.latency = false
    recipe.calibration.tokens = 2048
    recipe.training.tokens = 16384
    var job = Job(model: Self.model, recipe: recipe, output: folder)
    job.keepsTraining = true
    let outcome = try job.run(observer)
    #expect(!FileManager.default.fileExists(atPath: folder + ".training"))
    let report = try #require(outcome.report.stages.last)
    let path = "\(folder)/\(report.index)-\(report.name)/\(report.artifact.file)"
    // Reports read back with their curves.
    let written = try MappedFile(path: "\(folder)/\(report.index)-\(report.name)/report.json")
    let again = try withExtendedLifetime(written) {
      try StageReport(json: try JSONValue(parsing: written.region.buffer))
    }
    #expect(again.training?.curve.count == report.training?.curve.count)
    let shipped = try Checkpoint.load(try ModelFiles.open(path))
    return (outcome.report.stages, shipped, try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  private func distil(_ shape: String, steps: Int) throws -> DistillPass {
    var pass = DistillPass(try #require(StudentShape(shape)))
    pass.training.steps = steps
    pass.training.batchTokens = 1024
    return pass
  }

  @Test("a student learns what a cut alone has lost, and ships smaller and quantized")
  func distils() throws {
    let cut = try run([StructurePass(try #require(StructureShares("layers=1,ffn=0.25")))])
    let lines = Locked<[String]>([])
    let outcome = try run([try distil("layers=2,ffn=0.75", steps: 30), QuantizePass(.int4)]) { event in
      if case .done("train", let remark) = event { lines.withLock { $0.append(remark) } }
    }
    let (before, after) = (
      try #require(cut.reports[1].divergence?.mean.value),
      try #require(outcome.reports[1].divergence?.mean.value)
    )
    #expect(after < 0.7 * before, "\(before) \(after)")
    #expect(outcome.reports[1].size.parameters == cut.reports[1].size.parameters)
    let training = try #require(outcome.reports[1].training)
    #expect(training.steps == 30 && training.bestStep > 0 && training.curve[0].step == 0)
    #expect(training.curve.last?.tokensPerSecond ?? 0 > 0)
    #expect(outcome.reports[2].training == nil)
    #expect(outcome.shipped.configuration["num_hidden_layers"]?.intValue == 2)
    let shown = lines.withLock { $0 }
    #expect(shown.count == training.curve.count)
    #expect(shown.last?.contains("step 30 of 30, loss") == true)
  }

  @Test("the same bytes on one, two and four threads")
  func threads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let all = try [1, 2, 4].map { count in
      Parallel.threadCount = count
      return try run([try distil("layers=2", steps: 4)]).artifact
    }
    #expect(all[0] == all[1] && all[0] == all[2])
  }

  @Test(
    "the text that a teacher writes, instead of a text or beside one, and its predictions are kept, and used again",
    arguments: [0, 2000])
  func keeps(own: Int) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/compress-kept-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var pass = try distil("layers=2", steps: 4)
    pass.training.teacherTokens = 32
    var (artifacts, steps): ([Data], [Set<String>]) = ([], [])
    for run in 0..<2 {
      let output = folder + "/run-\(run)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      var recipe = Recipe(stages: [pass])
      recipe.evaluation.tokens = 2048
      recipe.evaluation.latency = false
      recipe.training.text = own > 0 ? nil : "self"
      recipe.training.tokens = 3000
      recipe.training.ownTokens = own
      var job = Job(model: Self.model, recipe: recipe, output: output)
      job.cache = folder + "/kept"
      let seen = Locked<Set<String>>([])
      let outcome = try job.run { event in
        if case .progress(let step, _) = event { _ = seen.withLock { $0.insert(step) } }
      }
      steps.append(seen.withLock { $0 })
      let report = try #require(outcome.report.stages.last)
      #expect((report.training?.text == "self") == (own == 0) && report.training?.steps == 4)
      let told = outcome.report.notes.contains { $0.contains("sequences that the model wrote") }
      #expect(told == (own > 0), "\(outcome.report.notes)")
      artifacts.append(
        try Data(
          contentsOf: URL(fileURLWithPath: "\(output)/1-\(report.name)/\(report.artifact.file)")))
    }
    #expect(steps[0].isSuperset(of: ["write training text", "keep the teacher's predictions"]))
    #expect(steps[1].isDisjoint(with: ["write training text", "keep the teacher's predictions"]))
    #expect(artifacts[0] == artifacts[1])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/kept").count == 2)
  }

  @Test("a student of a stated shape has it, or there is a reason")
  func stated() throws {
    let path = FileManager.default.temporaryDirectory.path + "/student-\(UUID().uuidString).json"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let model = try Checkpoint.load(try ModelFiles.open(Self.model))
    func pass(_ changes: [String: Int]) throws -> DistillPass {
      var object: [String: Any] = [
        "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3,
        "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512, "max_position_embeddings": 256,
      ]
      for (key, value) in changes { object[key] = value }
      try JSONSerialization.data(withJSONObject: object).write(to: URL(fileURLWithPath: path))
      var shape = StudentShape()
      shape.configuration = path
      return DistillPass(shape)
    }
    for (changes, message) in [
      (
        ["num_hidden_layers": 4],
        "num_hidden_layers 4: a student cannot be larger than its teacher, which has 3"
      ),
      (["intermediate_size": 600], "intermediate_size 600: a student cannot be larger than its teacher"),
      (["hidden_size": 208], "heads of 26 channels, the teacher's have 32: heads stay whole"),
      (["num_attention_heads": 6, "head_dim": 32, "num_key_value_heads": 2], "the teacher has 2 to each"),
      (["vocab_size": 500], "a vocabulary of 500 tokens, the teacher has 512"),
      ([:], "the student has all sizes of its teacher"), (["hidden_size": 0], "no student of this teacher"),
    ] as [([String: Int], String)] {
      let error = #expect(throws: PassError.self) { try pass(changes).plan(for: model) }
      #expect(error?.description.contains(message) == true, "\(changes): \(error?.description ?? "")")
    }
    var student = try pass([
      "num_hidden_layers": 2, "intermediate_size": 300, "hidden_size": 192, "num_attention_heads": 6,
      "num_key_value_heads": 3,
    ])
    student.training.steps = 2
    student.training.batchTokens = 512
    let shipped = try run([student]).shipped
    #expect(shipped.configuration["num_hidden_layers"]?.intValue == 2)
    #expect(shipped.tensor("model.layers.1.mlp.up_proj.weight")?.shape == [300, 192])
    #expect(shipped.tensor("model.layers.1.self_attn.k_proj.weight")?.shape == [96, 192])
    try Data("[1".utf8).write(to: URL(fileURLWithPath: path))
    var shape = StudentShape()
    shape.configuration = path
    let error = #expect(throws: PassError.self) { try DistillPass(shape).plan(for: model) }
    #expect(error?.description.contains("no configuration of a student") == true)
  }

  @Test("recovery keeps zeros where pruning put them, and gains")
  func recovers() throws {
    let prune = PrunePass(try #require(SparsityPattern("0.6")), method: .magnitude)
    var options = TrainingOptions()
    options.steps = 20
    options.batchTokens = 1024
    let outcome = try run([prune, RecoverPass(options)])
    let (before, after) = (
      try #require(outcome.reports[1].divergence?.mean.value),
      try #require(outcome.reports[2].divergence?.mean.value)
    )
    #expect(after < 0.6 * before, "\(before) \(after)")
    let tensor = try #require(outcome.shipped.tensor("model.layers.1.mlp.up_proj.weight"))
    let zeros = try tensor.values().count { $0 == 0 }
    #expect(Double(zeros) >= 0.599 * Double(tensor.elementCount))
  }

  @Test("recovery of a quantized model keeps its formats and the size that was asked for, and gains")
  func recoversQuantized() throws {
    var options = TrainingOptions()
    options.steps = 16
    options.batchTokens = 1024
    options.codeRate = 0.03
    var ship = ShipPass(.bitsPerWeight(2))
    ship.reserve = 0.01
    for pass in [ship, QuantizePass(.format(.q4_0), method: .rtn)] as [any Pass] {
      let outcome = try run(
        [pass, RecoverPass(options)], in: pass is ShipPass ? .safetensors : .gguf)
      let (before, after) = (
        try #require(outcome.reports[1].divergence?.mean.value),
        try #require(outcome.reports[2].divergence?.mean.value)
      )
      #expect(after < 0.95 * before, "\(pass.label): \(before) \(after)")
      #expect(outcome.reports[2].tensors.map(\.format) == outcome.reports[1].tensors.map(\.format))
      if pass is ShipPass {
        let parameters = outcome.reports[0].size.parameters
        #expect(outcome.reports[2].size.packedBytes <= parameters / 4)
      }
    }
  }

  @Test("the same bytes of a recovered model on one and three threads")
  func recoversOnThreads() throws {
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    var options = TrainingOptions()
    options.steps = 3
    options.batchTokens = 512
    options.codeRate = 0.2
    let all = try [1, 3].map { count in
      Parallel.threadCount = count
      return try run([QuantizePass(.int4, method: .rtn), RecoverPass(options)]).artifact
    }
    #expect(all[0] == all[1])
  }

  @Test("what cannot be is refused before anything is written")
  func refusals() throws {
    var model = try Checkpoint.load(try ModelFiles.open(Self.model))
    for (shape, message) in [
      ("layers=9", "a student cannot be larger than its teacher, which has 3"),
      ("width=1.5", "a student cannot be larger than its teacher; shares are what is left"),
      ("layers=3", "the student has all sizes of its teacher"), ("params=0.0001", "cut the width, too"),
      ("width=0.001", "leaves none; cut less"),
    ] {
      let pass = DistillPass(try #require(StudentShape(shape)))
      let error = #expect(throws: PassError.self) { try pass.plan(for: model) }
      #expect(error?.description.contains(message) == true, "\(shape): \(error?.description ?? "")")
    }
    let smaller = try DistillPass(try #require(StudentShape("params=0.5"))).plan(for: model)
    let left = smaller.entries.reduce(0) { $0 + $1.shape.reduce(1, *) }
    #expect(left <= model.parameterCount / 2 && left > model.parameterCount / 4)
    model.tensors[1].format = .q8_0
    let error = #expect(throws: PassError.self) { try distil("layers=2", steps: 1).plan(for: model) }
    #expect(error?.description.contains("is already quantized (q8_0): train first, then quantize") == true)
    let recover = RecoverPass(TrainingOptions())
    let nobody = #expect(throws: PassError.self) {
      try recover.apply(try recover.plan(for: model), to: model, in: PassContext())
    }
    #expect(nobody?.description.contains("so there is no original to learn from") == true)
    model.architecture = nil
    #expect(throws: PassError.self) { try RecoverPass(TrainingOptions()).plan(for: model) }
    var recipe = Recipe(stages: [try distil("layers=2", steps: 1)])
    recipe.calibration.text = CalibrationPlan.selfSource
    recipe.training.ownTokens = 500
    let output = FileManager.default.temporaryDirectory.path + "/compress-own-\(UUID().uuidString)"
    let own = #expect(throws: JobError.self) {
      try Job(model: Self.model, recipe: recipe, output: output).run { _ in }
    }
    #expect(own?.kind == .usage && own?.description.contains("--own-tokens goes beside a text") == true)
    #expect(!FileManager.default.fileExists(atPath: output))
  }

  @Test("recipes say all of it, and read back")
  func recipe() throws {
    let recipe = try Recipe(
      yaml: """
        training: {text: books.txt, tokens: 100000, held-out: 0.1}
        stages:
          - distill: {layers: 4, width: 0.75, steps: 200, loss: jsd, beta: 0.25, temperature: 2, schedule: linear}
          - distill: {layers: 3, relation-weight: 0.5, relation-heads: 4, relation-layer: 2, on-policy: 0.25}
          - quantize: {format: q4_0, effort: max}
          - recover: {minutes: 2.5, learning-rate: 0.0001, text-weight: 0.1, recompute: true}
          - recover: {code-rate: 0.02, scale-rate: 0.003, tune: codes}
        """, path: "r.yaml")
    #expect(recipe.trains && recipe.training.text == "books.txt" && recipe.training.context == 512)
    #expect(recipe.name == "distill-layers4-width75-distill-layers3-q4_0-recover-recover")
    #expect((recipe.stages[4] as? RecoverPass)?.training.scaleRate == 0.003)
    #expect(try Recipe(yaml: recipe.yaml, path: "again").yaml == recipe.yaml)
    let own = try Recipe(
      yaml: "training: {text: a.txt, own-tokens: 500}\nstages:\n  - recover: {steps: 5}\n", path: "r.yaml")
    #expect(own.training.ownTokens == 500)
    #expect(try Recipe(yaml: own.yaml, path: "again").training == own.training)
    for (section, message) in [
      ("training: {text: self, own-tokens: 500}", "'own-tokens' go beside a text"),
      ("training: {own-tokens: -1}", "own-tokens"),
      ("calibration: {own-tokens: 5}", "unknown key 'own-tokens'"),
    ] {
      let error = #expect(throws: RecipeError.self) {
        try Recipe(yaml: "\(section)\nstages:\n  - recover: {steps: 5}\n", path: "r.yaml")
      }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }
    for (stage, message) in [
      ("distill: {steps: 5}", "give some of 'layers'"), ("distill: {width: 1.5}", "a number from 0.001 to 1"),
      ("distill: {params: 0.5, layers: 2}", "give 'params' or sizes, not both"),
      ("quantize: {format: int4, effort: great}", "unknown effort 'great'"),
      ("recover: {on-policy: 2}", "a number from 0.0 to 1.0"),
      ("recover: {scale-rate: 2}", "'scale-rate'"),
      ("recover: {loss: mse}", "unknown loss 'mse'"), ("recover: {step: 5}", "unknown key 'step'"),
    ] {
      let error = #expect(throws: RecipeError.self) {
        try Recipe(yaml: "stages:\n  - \(stage)\n", path: "r.yaml")
      }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }
  }
}
