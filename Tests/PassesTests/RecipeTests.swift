import Models
import Passes
import TensorCore
import Testing

@Suite("Recipes")
struct RecipeTests {
  @Test("every default is filled in, and the written form reads back to the same")
  func roundTrip() throws {
    let recipe = try Recipe(yaml: "stages:\n  - quantize: {format: int4}\n", path: "r.yaml")
    #expect(recipe.name == "int4")
    #expect(recipe.container == .gguf)
    #expect(recipe.evaluation == EvaluationPlan())
    let again = try Recipe(yaml: recipe.yaml, path: "again.yaml")
    #expect(again.yaml == recipe.yaml)
    #expect(again.json == recipe.json)
  }

  @Test("all keys are read")
  func allKeys() throws {
    let recipe = try Recipe(
      yaml: """
        version: 1
        format: safetensors
        layout: gptq
        for: vllm
        seed: 7
        level: 19
        stages:
          - quantize: {format: q5_k, embeddings: q8_0, allow-requantize: true}
          - quantize: {format: int4}
        calibration: {text: self, tokens: 4096, context: 128, held-out: 0.25, allow-overlap: true}
        evaluation: {text: held-out.txt, context: 256, tokens: 1000, latency: false, activations: f32}
        budget: {max-kld: 0.02, min-agreement: 95%, max-ppl-increase: 1%}
        """, path: "r.yaml")
    #expect(recipe.container == .safetensors)
    #expect(recipe.layout == .gptq)
    #expect(recipe.loader == .vllm)
    #expect(recipe.evaluation.activations == .f32)
    #expect(recipe.seed == 7)
    #expect(recipe.level == 19)
    #expect(recipe.name == "q5_k-int4")
    let quantize = try #require(recipe.stages[0] as? QuantizePass)
    #expect(quantize.target == .format(.q5_k))
    #expect(quantize.embeddings == .q8_0)
    #expect(quantize.allowRequantize)
    #expect(
      recipe.calibration.isSelf && recipe.calibration.tokens == 4096 && recipe.calibration.context == 128)
    #expect(recipe.calibration.heldOut == 0.25 && recipe.calibration.allowOverlap)
    #expect(recipe.budget == QualityBudget(maxKLD: 0.02, minAgreement: 0.95, maxPerplexityIncrease: 0.01))
    #expect(recipe.evaluation.text == "held-out.txt")
    #expect(recipe.evaluation.context == 256)
    #expect(recipe.evaluation.tokens == 1000)
    #expect(!recipe.evaluation.latency)
    #expect(try Recipe(yaml: recipe.yaml, path: "again").yaml == recipe.yaml)
  }

  @Test("w8a8 has an exponent, or chooses one")
  func smoothing() throws {
    for (text, smoothing) in [
      ("", Smoothing.chosen), (", smooth: auto", .chosen), (", smooth: none", Smoothing.none),
      (", smooth: 0.85", .exponent(0.85)), (", smooth: 1", .exponent(1)),
    ] {
      let yaml = "format: safetensors\nstages:\n  - quantize: {format: w8a8\(text)}\n"
      let recipe = try Recipe(yaml: yaml, path: "r.yaml")
      let pass = try #require(recipe.stages[0] as? QuantizePass)
      #expect(pass.target == .format(.w8a8) && pass.smoothing == smoothing)
      #expect(recipe.name == "w8a8")
      #expect(try Recipe(yaml: recipe.yaml, path: "again").yaml == recipe.yaml)
    }
  }

  @Test("what is pruned is read and written back")
  func pruning() throws {
    for (text, pattern) in [
      ("sparsity: 0.5", SparsityPattern.share(0.5)), ("sparsity: 1", .share(1)),
      ("pattern: \"2:4\"", .groups(kept: 2, of: 4)), ("pattern: 4:8", .groups(kept: 4, of: 8)),
    ] {
      let yaml =
        "stages:\n  - prune: {\(text), method: magnitude, scope: row, allocation: owl, also: \"output, token-embedding\"}\n"
      let recipe = try Recipe(yaml: yaml + "  - quantize: {format: int8}\n", path: "r.yaml")
      let pass = try #require(recipe.stages[0] as? PrunePass)
      #expect(
        pass.pattern == pattern && pass.method == .magnitude && pass.scope == .row
          && pass.wantedAllocation == .owl)
      #expect(pass.also == ["output", "token-embedding"])
      #expect(try Recipe(yaml: recipe.yaml, path: "again").yaml == recipe.yaml)
    }
  }

  @Test("what a model is cut by is read and written back")
  func structure() throws {
    for text in ["heads: 0.25, ffn: 0.3, layers: 2, width: 0.125", "target-params: 0.7, repair: false"] {
      let yaml = "stages:\n  - prune-structure: {\(text)}\n"
      let recipe = try Recipe(yaml: yaml, path: "r.yaml")
      let pass = try #require(recipe.stages[0] as? StructurePass)
      #expect(pass.repairs == (pass.targetParameters == nil))
      #expect(pass.label == (pass.targetParameters == nil ? "heads25-ffn30-layers2-width12.5" : "params70"))
      #expect(try Recipe(yaml: recipe.yaml, path: "again").yaml == recipe.yaml)
    }
  }

  @Test(
    "what is wrong is named, with its line",
    arguments: [
      ("", "r.yaml: the recipe is empty; name at least one pass under 'stages'"),
      ("stages: [", "r.yaml: no valid YAML: "),
      (
        "stages: []\ncolour: blue\n",
        "r.yaml:2: unknown key 'colour' in the recipe; known are version, format, layout, for, stages"
      ),
      ("version: 9\n", "recipe version 9 is not known; this program reads version 1"),
      ("format: onnx\n", "unknown format 'onnx'; known are gguf, safetensors"),
      ("layout: awq\n", "unknown layout 'awq'; known are compressed-tensors, gptq, compress"),
      ("for: tgi\n", "unknown loader 'tgi'; known are vllm, transformers, llama.cpp, mlx"),
      ("evaluation: {activations: int4}\n", "unknown activations 'int4'; known are int8, f32"),
      ("stages: 3\n", "r.yaml:1: 'stages' in the recipe must be a list"),
      ("stages:\n  - shrink: {}\n", "unknown pass 'shrink'; known are quantize, ship, prune"),
      (
        "stages:\n  - prune-structure: {}\n",
        "give some of 'heads', 'ffn', 'layers' and 'width', or 'target-params'"
      ),
      ("stages:\n  - prune-structure: {ffn: 0.3, target-params: 0.5}\n", "or 'target-params' alone"),
      ("stages:\n  - prune-structure: {ffn: 1}\n", "'ffn' is a share below 1: something has to be left"),
      ("stages:\n  - prune-structure: {ffn: 0.1, importance: luck}\n", "unknown importance 'luck'"),
      ("stages:\n  - prune: {method: magnitude}\n", "give 'sparsity' (0.5) or 'pattern' (2:4)"),
      ("stages:\n  - prune: {sparsity: 0.5, pattern: \"2:4\"}\n", "give 'sparsity' or 'pattern', not both"),
      ("stages:\n  - prune: {sparsity: 1.5}\n", "'sparsity' in 'prune' must be a number from 0.0 to 1.0"),
      ("stages:\n  - prune: {pattern: \"5:4\"}\n", "'pattern' must be N:M such as 2:4"),
      ("stages:\n  - prune: {sparsity: 0.5, method: luck}\n", "unknown method 'luck'; known are magnitude"),
      ("stages:\n  - prune: {sparsity: 0.5, scope: all}\n", "unknown scope 'all'; known are tensor, row"),
      (
        "stages:\n  - prune: {sparsity: 0.5, allocation: luck}\n",
        "unknown allocation 'luck'; known are uniform"
      ),
      ("stages:\n  - prune: {sparsity: 0.5, share: 1}\n", "unknown key 'share' in 'prune'"),
      ("stages:\n  - quantize: {format: int3}\n", "unknown format 'int3'; known are int8, int4, mixed, q8_0"),
      ("stages:\n  - quantize: {format: int4, bits: 4}\n", "unknown key 'bits' in 'quantize'"),
      ("stages:\n  - quantize: {format: int8, smooth: 0.5}\n", "unknown key 'smooth' in 'quantize'"),
      (
        "stages:\n  - quantize: {format: w8a8, smooth: 1.5}\n",
        "'smooth' must be auto, none or an exponent from 0 to 1, not '1.5'"
      ),
      (
        "stages:\n  - quantize: {format: int4}\n    more: 1\n",
        "a stage has exactly one key, the pass: quantize"
      ),
      ("stages:\n  - quantize\n", "entry 1 of 'stages' must be a mapping"),
      ("level: 99\n", "'level' in the recipe must be a whole number from 1 to 22"),
      ("seed: -1\n", "'seed' in the recipe must be a whole number from 0"),
      ("evaluation: {context: 2}\n", "'context' in 'evaluation' must be a whole number from 8"),
      ("calibration: {tokens: 1}\n", "'tokens' in 'calibration' must be a whole number from 2"),
      ("calibration: {held-out: 0.6}\n", "'held-out' in 'calibration' must be a number from 0.0 to 0.5"),
      ("calibration: {texts: x}\n", "unknown key 'texts' in 'calibration'; known are text, tokens, context"),
      ("budget: {max-kld: much}\n", "'max-kld' in 'budget' must be a number of nats above 0"),
      ("budget: {max-ppl-increase: 1}\n", "'max-ppl-increase' in 'budget' must be a percentage such as 1%"),
      ("evaluation: {latency: 3}\n", "'latency' in 'evaluation' must be true or false"),
      ("version: 1\nversion: 1\n", "repeated key 'version'"),
      (
        "a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n",
        "the recipe has 9 YAML aliases, 8 are allowed"
      ),
      ("just text", "the recipe must be a mapping of keys to values"),
    ])
  func failures(yaml: String, message: String) {
    let error = #expect(throws: RecipeError.self) { try Recipe(yaml: yaml, path: "r.yaml") }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "no error")")
    #expect(error?.description.contains("\n") == false)
  }
}
