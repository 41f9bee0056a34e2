#!/usr/bin/env bash
# GRPO of an 8B policy by verl 0.9 (Ray, FSDP, vLLM), rewarded by Charter's service: each group is ranked as one.
#
#   MODEL=models/Llama-3.1-8B-Instruct TRAIN=train.parquet VALID=valid.parquet deploy/launch/verl-grpo.sh
#
# Hardware: meant for one machine of 8 GPUs of 80 GB, all weights trained; verl places policy, reference and vLLM on the
# same GPUs. The judge needs a GPU of its own, elsewhere: CHARTER names the service. More machines: a Ray cluster over
# them, and trainer.nnodes. Never run there: its keys are checked against verl's own configuration.
#
# verl's environment needs charter too (`pip install charter`): the reward function is service/client/verl.py. TRAIN and
# VALID: parquet with `prompt` (messages), `data_source`, `reward_model` ({"style": "rule", "ground_truth": ""}) and
# `extra_info` with the same `prompt` once more, which verl does not hand on otherwise.
# A key: +reward.custom_reward_function.reward_kwargs.key=KEY. A sample that cannot be judged stops the run (`raise`);
# UNSCORED=run_mean gives it the run's mean instead, which is no advantage on average.
set -euo pipefail

CHARTER=${CHARTER:-http://127.0.0.1:8000}
CONSTITUTION=${CONSTITUTION:-helpful-harmless@1}
RUN=${RUN:-verl-grpo}
SAMPLES=${SAMPLES:-8}
UNSCORED=${UNSCORED:-raise}
MODEL=${MODEL:?a model folder}
TRAIN=${TRAIN:?parquet of prompts}
VALID=${VALID:?parquet of held-out prompts}
OUTPUT=${OUTPUT:-runs/$RUN}
REWARD=reward.custom_reward_function

curl --fail --silent --show-error "$CHARTER/ready" >/dev/null
CLIENT=$(python -c 'import service.client.verl as client; print(client.__file__)')

exec python -m verl.trainer.main_ppo \
  algorithm.adv_estimator=grpo \
  algorithm.norm_adv_by_std_in_grpo=True \
  algorithm.use_kl_in_reward=False \
  data.train_files="$TRAIN" \
  data.val_files="$VALID" \
  data.train_batch_size=256 \
  data.max_prompt_length=2048 \
  data.max_response_length=1024 \
  data.filter_overlong_prompts=True \
  actor_rollout_ref.model.path="$MODEL" \
  actor_rollout_ref.model.use_remove_padding=True \
  actor_rollout_ref.model.enable_gradient_checkpointing=True \
  actor_rollout_ref.actor.optim.lr=1e-6 \
  actor_rollout_ref.actor.ppo_mini_batch_size=128 \
  actor_rollout_ref.actor.use_dynamic_bsz=True \
  actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384 \
  actor_rollout_ref.actor.use_kl_loss=True \
  actor_rollout_ref.actor.kl_loss_coef=0.001 \
  actor_rollout_ref.actor.kl_loss_type=low_var_kl \
  actor_rollout_ref.rollout.name=vllm \
  actor_rollout_ref.rollout.n="$SAMPLES" \
  actor_rollout_ref.rollout.temperature=1.0 \
  actor_rollout_ref.rollout.tensor_model_parallel_size=1 \
  actor_rollout_ref.rollout.gpu_memory_utilization=0.5 \
  $REWARD.path="$CLIENT" \
  $REWARD.name=compute_score \
  +$REWARD.reward_kwargs.url="$CHARTER" \
  +$REWARD.reward_kwargs.constitution="'$CONSTITUTION'" \
  +$REWARD.reward_kwargs.run="$RUN" \
  +$REWARD.reward_kwargs.group="$SAMPLES" \
  +$REWARD.reward_kwargs.unscored="$UNSCORED" \
  trainer.n_gpus_per_node=8 \
  trainer.nnodes=1 \
  trainer.total_epochs=1 \
  trainer.save_freq=20 \
  trainer.test_freq=20 \
  trainer.val_before_train=True \
  trainer.project_name=charter \
  trainer.experiment_name="$RUN" \
  trainer.default_local_dir="$OUTPUT" \
  "trainer.logger=[console]" \
  "$@"
