"""From a prepared workspace to nnU-Net's plan and preprocessed cases."""
